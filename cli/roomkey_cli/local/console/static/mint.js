// Mint: what to ask for, the answer, and the same request for a client's source.

import { minted, refused, say } from './answers.js';
import { $, h, icon, choice, choose, chosen, copy, copyAndSay, span } from './dom.js';
import { ask, stack } from './stack.js';
import { LANGUAGES } from './requests.js';
import { VENDORS } from './vendors.js';

const KINDS = [
  ['app', 'App', 'A person joins a room'],
  ['management', 'Management', 'A server calls the vendor’s API'],
];
const ACCESS_TOKEN_MARGIN_S = 300;
const DONE_MS = 2000;

/** What was typed, by platform: each has rooms and users of its own. */
const typed = {};
const accessTokens = {};
let language = 'curl';

// --- what is asked for -----------------------------------------------------------------------------------------------

const platform = () => chosen($('platform'));
const kind = () => chosen($('kind'));
const vendor = () => VENDORS[platform()] ?? {};
const fields = () => stack.platforms[platform()].fields[kind()];
const demand = () => (kind() === 'management' ? 'iam' : stack.access);

function callers() {
  const nobody = demand() === 'open' ? ['anyone', 'Anyone, not signed in'] : ['nobody', 'Nobody'];
  if (demand() === 'iam') return [['key', 'The demo IAM key', stack.key.principal], nobody];
  if (demand() === 'open') return [nobody];
  const users = Object.entries(stack.users).map(([name, groups]) => [
    `user:${name}`,
    name,
    `in ${groups.join(' and ')}`,
  ]);
  return [...(users.length ? users : [['bearer', 'Your issuer’s user']]), nobody];
}

const NOTES = {
  key: () => `Signed for you with the local stack’s key, as ${stack.key.principal}.`,
  user: (name) => `Signs in at the demo issuer as ${name}, in the group ${stack.users[name].join(' and ')}.`,
  bearer: () => 'Paste an access token of the issuer that the stack was started with.',
  nobody: () =>
    ({
      open: 'This stack asks nobody to sign in. make run ARGS="--access jwt" starts one with a teacher and a student.',
      jwt: 'Without an access token the gateway answers, and the function is not asked.',
      iam: 'Without a signature the gateway answers, and the function is not asked.',
    })[demand()],
};

function caller() {
  const [type, name] = chosen($('who')).split(':');
  if (type === 'user') return { type, name, signIn: `${location.origin}/demo/token` };
  if (type === 'key') return { type, ...stack.key, region: stack.region };
  return { type: type === 'anyone' ? 'nobody' : type };
}

function role() {
  const value = $('keys').querySelector('input[type=radio]:checked')?.value;
  return value === 'own' ? $('own-role').value : value;
}

/** The request that is on the screen. What is empty is not sent, so that the endpoint says what it misses. */
function request() {
  const life = $('life').value.trim();
  const services = [...$('services').querySelectorAll('input:checked')].map((input) => input.value);
  const words = {
    room_id: $('room').value,
    role: role(),
    user_id: $('user').value,
    services: services.join() === 'rtc' ? [] : services,
    expires_in: /^\d{1,9}$/.test(life) ? Number(life) : life,
  };
  const known = { ...fields(), expires_in: false };
  if (known.permissions !== undefined && chosen($('wording')) === 'permissions') {
    words.permissions = vendor().permissions[words.role];
    delete words.role;
  }
  const body = Object.fromEntries(
    Object.entries(words).filter(
      ([name, value]) => name in known && value !== '' && value != null && value.length !== 0,
    ),
  );
  return {
    path: `/v1/${platform()}/${kind()}-token`,
    url: `${location.origin}/v1/${platform()}/${kind()}-token`,
    body: Object.keys(body).length ? body : null,
    caller: caller(),
  };
}

// --- the form --------------------------------------------------------------------------------------------------------

function keyRow(value, name, says) {
  const id = `key-${value}`;
  return h(
    'div',
    { class: 'key-row' },
    name === null
      ? [
          h('input', { type: 'radio', name: 'role', value, id, 'aria-label': 'Another role', onchange: draw }),
          h('input', {
            type: 'text',
            id: 'own-role',
            'aria-label': 'Another role’s name',
            placeholder: 'another role',
            spellcheck: 'false',
            oninput: ownRole,
          }),
          h('span', { class: 'says' }, says),
        ]
      : h(
          'label',
          { for: id },
          h('input', { type: 'radio', name: 'role', value, id, onchange: draw }),
          h('b', {}, name),
          h('span', { class: 'says' }, says),
        ),
    h(
      'button',
      {
        type: 'button',
        class: 'key',
        'aria-label': `Mint ${name === null ? 'a token for the other role' : named(name)} and copy it`,
        onclick: (event) => press(event.currentTarget, value),
      },
      icon('key'),
    ),
  );
}

const named = (name) => (name === 'management token' ? 'a management token' : `a ${name} token`);

function ownRole() {
  choose($('keys'), 'own');
  draw();
}

/** Lays the form out anew for another platform or kind. */
function lay() {
  const had = typed[platform()] ?? {
    room: vendor().room ?? '',
    user: demand() === 'jwt' ? '' : (vendor().user ?? ''),
    role: undefined,
  };
  choice($('who'), callers(), draw);
  $('room').value = had.room;
  $('user').value = had.user;
  $('room-field').hidden = !('room_id' in fields());
  $('user-field').hidden = !('user_id' in fields());
  const services = 'services' in fields() ? stack.platforms[platform()].services : [];
  $('services').hidden = services.length === 0;
  $('services').replaceChildren(
    $('services').querySelector('legend'),
    h(
      'div',
      {},
      services.map((name) =>
        h(
          'label',
          {},
          h('input', { type: 'checkbox', value: name, checked: name === 'rtc', onchange: draw }),
          ` ${name}`,
        ),
      ),
    ),
  );
  $('wording').hidden = !('permissions' in fields());
  const roles = 'role' in fields() ? (vendor().roles ?? {}) : { '': 'for a server, never for an app' };
  $('keys').replaceChildren(
    $('keys').querySelector('legend'),
    ...Object.entries(roles).map(([name, says]) => keyRow(name, name || 'management token', says)),
    ...('role' in fields() && vendor().ownRoles ? [keyRow('own', null, vendor().ownRoles)] : []),
  );
  $('keys').querySelector('legend').textContent = 'role' in fields() ? 'Role' : 'Token';
  choose($('keys'), had.role in roles ? had.role : Object.keys(roles)[0]);
  draw();
}

function draw() {
  const { type, name } = caller();
  $('who-note').textContent = NOTES[type](name);
  $('access-token-field').hidden = type !== 'bearer';
  $('user-note').textContent =
    demand() === 'jwt'
      ? 'Empty is the signed-in user, and no other will do.'
      : fields().user_id
        ? 'A uid, or a user account.'
        : 'Empty draws one by chance.';
  const { shortest, longest } = stack.lives;
  const life = $('life').value.trim();
  $('life').placeholder = stack.lives.default[kind()];
  $('life-note').textContent = /^\d{1,9}$/.test(life)
    ? `That is ${span(Number(life))}.`
    : `From ${shortest} to ${longest}. Empty is ${span(stack.lives.default[kind()])}.`;
  typed[platform()] = { room: $('room').value, user: $('user').value, role: role() };
  $('request-code').textContent = LANGUAGES[language][1](request());
}

function languages() {
  const names = Object.keys(LANGUAGES);
  const select = (name, focus) => {
    language = name;
    for (const tab of $('languages').children) {
      const selected = tab.id === `language-${name}`;
      tab.setAttribute('aria-selected', selected);
      tab.tabIndex = selected ? 0 : -1;
      if (selected && focus) tab.focus();
    }
    $('request-panel').setAttribute('aria-labelledby', `language-${name}`);
    draw();
  };
  const onkeydown = (event) => {
    const at = names.indexOf(language);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: names.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    select(names.at(to % names.length), true);
  };
  $('languages').replaceChildren(
    ...names.map((name) =>
      h(
        'button',
        {
          type: 'button',
          role: 'tab',
          id: `language-${name}`,
          'aria-controls': 'request-panel',
          onclick: () => select(name),
          onkeydown,
        },
        LANGUAGES[name][0],
      ),
    ),
  );
  select(language);
}

// --- asking ----------------------------------------------------------------------------------------------------------

async function accessToken({ name, signIn }) {
  const known = accessTokens[name];
  if (known && known.until > Date.now()) return known.token;
  const response = await fetch(signIn, { method: 'POST', body: JSON.stringify({ user: name }) });
  const { access_token: token, expires_in: life } = await response.json();
  accessTokens[name] = { token, until: Date.now() + (life - ACCESS_TOKEN_MARGIN_S) * 1000 };
  return token;
}

async function send({ path, body, caller: by }) {
  const text = body ? JSON.stringify(body) : '';
  const headers = body ? { 'Content-Type': 'application/json' } : {};
  if (by.type === 'user') headers.Authorization = `Bearer ${await accessToken(by)}`;
  if (by.type === 'bearer') headers.Authorization = `Bearer ${$('access-token').value.trim()}`;
  if (by.type === 'key') Object.assign(headers, await ask('POST', 'signature', { path, body: text }));
  const begun = performance.now();
  const response = await fetch(path, { method: 'POST', headers, body: body ? text : undefined });
  const answer = await response.json();
  return {
    status: response.status,
    answer,
    took: performance.now() - begun,
    challenge: response.headers.get('www-authenticate'),
  };
}

class NoToken extends Error {}

/** The key is a tick for a moment. */
function done(button) {
  button.classList.add('done');
  button.replaceChildren(icon('check'));
  setTimeout(() => {
    button.classList.remove('done');
    button.replaceChildren(icon('key'));
  }, DONE_MS);
}

async function press(button, value) {
  if (button.getAttribute('aria-busy')) return;
  choose($('keys'), value);
  draw();
  const asked = request();
  const known = { platform: platform(), kind: kind(), role: role(), asked };
  const answered = send(asked);
  const token = answered.then(({ answer }) => answer.token ?? Promise.reject(new NoToken()));
  button.setAttribute('aria-busy', 'true');
  let copied = true;
  try {
    await copy(token).catch(() => (copied = false));
    const result = await answered;
    if (result.answer.token) {
      minted(known, result, copied);
      done(button);
    } else {
      refused(known, result);
    }
  } catch (error) {
    say(
      'bad',
      'No answer.',
      error instanceof TypeError ? 'The local stack does not answer. Is it still running?' : error.message,
    );
    $('answer-body').replaceChildren();
  } finally {
    button.removeAttribute('aria-busy');
  }
}

// --- the view --------------------------------------------------------------------------------------------------------

export function start() {
  choice(
    $('platform'),
    Object.entries(stack.platforms).map(([name, { title }]) => [name, title.replace('Agora Interactive ', '')]),
    lay,
  );
  choice($('kind'), KINDS, lay);
  choice(
    $('wording'),
    [
      ['role', 'role'],
      ['permissions', 'permissions'],
    ],
    draw,
  );
  for (const id of ['room', 'user', 'life']) $(id).addEventListener('input', draw);
  $('ask').addEventListener('submit', (event) => event.preventDefault());
  $('ask').addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && event.target.matches('input')) {
      event.preventDefault();
      $('keys').querySelector('input[type=radio]:checked')?.closest('.key-row').querySelector('button').click();
    }
  });
  $('copy-request').addEventListener('click', () => copyAndSay($('request-code').textContent));
  lay();
  languages();
}

export function shown() {}
