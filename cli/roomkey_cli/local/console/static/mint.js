// Mint: the request, the response, and the request as code.

import { callerOf, callers, send } from './client.js';
import { LANGUAGES } from './code.js';
import { $, choice, choose, chosen, copy, copyAndSay, h, span } from './dom.js';
import { load, save } from './drafts.js';
import { minted, refused, say } from './responses.js';
import { BASE, stack } from './stack.js';
import { samples } from './vendors.js';

const KINDS = {
  app: ['App', 'A person joins a room'],
  management: ['Management', 'A server calls the vendor’s API'],
};
const NAMED_FIELDS = ['room_id', 'role', 'user_id', 'services', 'permissions', 'expires_in'];
const OTHER = 'other';

/** Drafts by platform: rooms and users differ. */
const drafts = load('mint', {});
let language = load('language', 'curl');

// --- the request -----------------------------------------------------------------------------------------------------

const platform = () => chosen($('platform'));
const kind = () => chosen($('kind'));
const kinds = () => Object.keys(stack.platforms[platform()].fields);
const fields = () => stack.platforms[platform()].fields[kind()];
const required = () => (kind() === 'management' ? 'iam' : stack.access);

const NOTES = {
  key: () => `Signed with this run’s key, as ${stack.key.principal}.`,
  user: (name) => `Signs in at the demo issuer as ${name}, in the group ${stack.users[name].join(' and ')}.`,
  bearer: () => 'Paste an access token of the issuer that the stack was started with.',
  anonymous: () =>
    ({
      open: 'App tokens need no sign-in. make run ARGS="--access jwt" adds a teacher and a student.',
      jwt: 'Without an access token the gateway refuses the request; the function is not called.',
      iam: 'Without a signature the gateway refuses the request; the function is not called.',
    })[required()],
};

const caller = () => callerOf(chosen($('who')), $('access-token').value.trim());

function role() {
  const value = chosen($('role'));
  return value === undefined || value === OTHER ? $('own-role').value : value;
}

/** The request on the screen. Empty values are left out, so that the endpoint reports what is missing. */
function request() {
  const lifetime = $('lifetime').value.trim();
  const services = [...$('services').querySelectorAll('input:checked')].map((input) => input.value);
  const values = {
    room_id: $('room').value,
    role: role(),
    user_id: $('user').value,
    services: services.join() === 'rtc' ? [] : services,
    expires_in: /^\d{1,9}$/.test(lifetime) ? Number(lifetime) : lifetime,
    ...Object.fromEntries(extraInputs().map((input) => [input.name, input.value])),
  };
  const known = { ...fields(), expires_in: {} };
  if (known.permissions !== undefined && chosen($('wording')) === 'permissions') {
    values.permissions = samples(platform()).permissions?.[values.role];
    delete values.role;
  }
  const body = Object.fromEntries(
    Object.entries(values).filter(
      ([name, value]) => name in known && value !== '' && value != null && value.length !== 0,
    ),
  );
  const path = `v1/${platform()}/${kind()}-token`;
  return {
    path: `/${path}`,
    url: BASE + path,
    body: Object.keys(body).length ? body : null,
    caller: caller(),
    member: stack.platforms[platform()].response_member,
  };
}

// --- the form --------------------------------------------------------------------------------------------------------

const extraInputs = () => [...$('more-fields').querySelectorAll('.extra input')];

function extraField(name, value) {
  const id = `field-${name}`;
  return h(
    'div',
    { class: 'extra' },
    h('label', { for: id }, name),
    h('input', {
      id,
      name,
      type: 'text',
      value,
      spellcheck: 'false',
      'aria-describedby': `${id}-error`,
      oninput: draw,
    }),
    h('p', { class: 'error', id: `${id}-error` }),
  );
}

/** Lay the form out for a platform. */
function layPlatform() {
  choice(
    $('kind'),
    kinds().map((name) => [name, ...KINDS[name]]),
    layKind,
  );
  $('kind').hidden = kinds().length === 1;
  layKind();
}

/** Lay the form out for a kind of token. */
function layKind() {
  const { room, user, others, roles: meanings } = samples(platform());
  const choices = fields().role?.choices ?? Object.keys(meanings);
  const open = 'role' in fields() && !fields().role.choices;
  const sample = {
    room,
    user: required() === 'jwt' ? '' : user,
    role: open && !choices.length ? others.role : undefined,
  };
  const draft = drafts[platform()] ?? sample;
  choice($('who'), callers(required()), draw);
  $('room').value = draft.room ?? '';
  $('user').value = draft.user ?? '';
  $('room-field').hidden = !('room_id' in fields());
  $('user-field').hidden = !('user_id' in fields());

  choice(
    $('role'),
    [...choices.map((name) => [name, name, meanings[name]]), ...(open && choices.length ? [[OTHER, 'other']] : [])],
    draw,
  );
  $('role').hidden = choices.length === 0 || !('role' in fields());
  choose($('role'), draft.role ?? choices[0]);
  if (chosen($('role')) === undefined && choices.length) choose($('role'), open && draft.role ? OTHER : choices[0]);
  $('own-role').value = choices.includes(draft.role) ? '' : (draft.role ?? '');

  const services = 'services' in fields() ? stack.platforms[platform()].services : [];
  const preset = samples(platform()).others.services ?? ['rtc'];
  $('services-field').hidden = services.length === 0;
  $('services').replaceChildren(
    $('services').querySelector('legend'),
    h(
      'div',
      {},
      services.map((name) =>
        h(
          'label',
          {},
          h('input', { type: 'checkbox', value: name, checked: preset.includes(name), onchange: draw }),
          ` ${name}`,
        ),
      ),
    ),
  );
  $('wording').hidden = !('permissions' in fields());
  for (const input of extraInputs()) input.closest('.extra').remove();
  const extra = Object.keys(fields()).filter((name) => !NAMED_FIELDS.includes(name));
  $('more-fields').append(...extra.map((name) => extraField(name, draft[name] ?? '')));
  clearErrors();
  draw();
}

function draw() {
  const { type, name } = caller();
  $('who-note').textContent = NOTES[type](name);
  $('access-token-field').hidden = type !== 'bearer';
  $('role-field').hidden = !('role' in fields()) || ![undefined, OTHER].includes(chosen($('role')));
  $('role-note').textContent = samples(platform()).roles[role()] && `${role()}: ${samples(platform()).roles[role()]}`;
  $('user-note').textContent =
    required() === 'jwt'
      ? 'Leave empty: the token is for the signed-in user.'
      : fields().user_id?.required
        ? 'A numeric uid or a user account.'
        : 'Leave empty for a random id.';
  const { shortest, longest } = stack.lifetimes;
  const lifetime = $('lifetime').value.trim();
  $('lifetime').placeholder = stack.lifetimes.default[kind()];
  $('lifetime-note').textContent = /^\d{1,9}$/.test(lifetime)
    ? `= ${span(Number(lifetime))}`
    : `${shortest} to ${longest}. Default: ${span(stack.lifetimes.default[kind()])}.`;
  drafts[platform()] = {
    room: $('room').value,
    user: $('user').value,
    role: role(),
    ...Object.fromEntries(extraInputs().map((input) => [input.name, input.value])),
  };
  save('mint', drafts);
  save('form', { platform: platform(), kind: kind(), who: chosen($('who')), lifetime });
  $('request-code').textContent = LANGUAGES[language][1](request());
}

/** Choose what was chosen before a reload, as far as this stack offers it. */
function restore() {
  const form = load('form', {});
  const offered = (fieldset, value) => [...fieldset.querySelectorAll('input')].some((input) => input.value === value);
  if (offered($('platform'), form.platform)) choose($('platform'), form.platform);
  layPlatform();
  if (offered($('kind'), form.kind)) choose($('kind'), form.kind);
  $('lifetime').value = form.lifetime ?? '';
  layKind();
  if (offered($('who'), form.who)) choose($('who'), form.who);
  draw();
}

function languages() {
  const names = Object.keys(LANGUAGES);
  if (!names.includes(language)) language = 'curl';
  const select = (name, focus) => {
    language = name;
    save('language', name);
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

// --- errors at their fields ------------------------------------------------------------------------------------------

const PLACES = {
  room_id: ['room', 'room-error'],
  user_id: ['user', 'user-error'],
  role: ['own-role', 'role-error'],
  permissions: ['own-role', 'role-error'],
  expires_in: ['lifetime', 'lifetime-error'],
  services: ['services', 'services-error'],
};
const place = (field) => PLACES[field] ?? [`field-${field}`, `field-${field}-error`];

function clearErrors() {
  for (const error of $('ask').querySelectorAll('.error')) error.textContent = '';
  for (const input of $('ask').querySelectorAll('[aria-invalid]')) input.removeAttribute('aria-invalid');
}

/** Show each error at its field, focus the first, and return those that have no field. */
function showErrors(errors) {
  const left = errors.filter(({ field, reason }) => {
    const [input, error] = place(field).map($);
    if (!error || error.closest('[hidden]')) return true;
    error.textContent = `${field} ${reason}`;
    input.setAttribute('aria-invalid', 'true');
    return false;
  });
  $('ask').querySelector('input[aria-invalid]')?.focus();
  return left;
}

// --- sending ---------------------------------------------------------------------------------------------------------

class NoToken extends Error {}

/** The text that a person copies: the token, or the response of a platform that returns no single token. */
const copied = (answer) => answer.token ?? JSON.stringify(answer);

async function mint() {
  const button = $('mint-token');
  if (button.getAttribute('aria-busy')) return;
  clearErrors();
  const asked = request();
  const known = { platform: platform(), kind: kind(), role: 'role' in fields() ? role() : '', asked };
  const answered = send(asked);
  const text = answered.then(({ answer }) => (answer.success ? copied(answer) : Promise.reject(new NoToken())));
  button.setAttribute('aria-busy', 'true');
  try {
    const onClipboard = await copy(text).then(
      () => true,
      () => false,
    );
    const result = await answered;
    if (result.answer.success) minted(known, result, copied(result.answer), onClipboard);
    else refused(known, result, showErrors(result.answer.errors ?? []));
  } catch (error) {
    const stopped = error instanceof TypeError;
    say('bad', 'No answer.', stopped ? 'The local stack does not answer. Is it still running?' : error.message);
    $('answer-body').replaceChildren();
  } finally {
    button.removeAttribute('aria-busy');
  }
}

// --- the view --------------------------------------------------------------------------------------------------------

export function start() {
  const titles = Object.entries(stack.platforms).map(([name, { title }]) => [
    name,
    title.replace('Agora Interactive ', ''),
  ]);
  choice($('platform'), titles, layPlatform);
  choice(
    $('wording'),
    [
      ['role', 'role'],
      ['permissions', 'permissions'],
    ],
    draw,
  );
  for (const id of ['room', 'user', 'own-role', 'lifetime']) $(id).addEventListener('input', draw);
  $('ask').addEventListener('submit', (event) => {
    event.preventDefault();
    mint();
  });
  $('copy-request').addEventListener('click', () => copyAndSay($('request-code').textContent));
  restore();
  languages();
}

export function shown() {}
