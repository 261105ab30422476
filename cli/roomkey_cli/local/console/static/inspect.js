// Inspect: decode a token, verify it with the stack's credentials, and list what its vendor would refuse.

import { $, h, countdown, moment, span } from './dom.js';
import { ask, events } from './stack.js';

const PAUSE_MS = 250;

let latest = '';
let timer;
let asked = 0;

const TIMES = new Set(['iat', 'nbf', 'exp', 'issue_ts', 'expireAt']);

async function read() {
  const token = $('token').value.trim();
  const number = ++asked;
  if (!token) {
    show(h('p', { class: 'card empty' }, 'Paste a token, or use the last minted one.'));
    return;
  }
  let found;
  let said;
  try {
    const answer = await ask('POST', 'explanation', { token });
    found = told(answer);
    said = `${answer.title}: ${answer.problems.length ? 'refused' : 'valid'}.`;
  } catch (error) {
    found = [h('div', { class: 'card' }, h('p', { class: 'outcome', 'data-tone': 'bad' }, error.message))];
    said = error.message;
  }
  if (number !== asked) return;
  show(...found);
  $('said').textContent = said;
}

const show = (...nodes) => $('reading').replaceChildren(...nodes);

const SIGNATURE = {
  valid: ['good', 'The signature is valid', 'It was made with this stack’s credentials.'],
  invalid: ['bad', 'The signature is invalid', 'Other credentials made it, or the token was changed.'],
  impossible: ['bad', 'The signature is impossible', 'No credentials can produce it.'],
  'not-checkable': ['fair', 'The signature cannot be checked', 'It covers values that are not in the token.'],
  unchecked: ['fair', 'The signature was not checked', 'The stack has no valid credentials for this platform.'],
};

function told(answer) {
  const { title, kind, claims } = answer;
  const refused = answer.problems.length > 0;
  const ends = inSeconds(answer.expires_at);
  const [tone, signature, because] = SIGNATURE[answer.signature];
  const left = h('b', {});
  const parts = [
    h(
      'section',
      { class: 'card', 'aria-label': 'Verdict' },
      h('h2', {}, `${title}: ${answer.label ?? (kind ? `${kind} token` : 'a token')}`),
      h(
        'p',
        { class: 'outcome', 'data-tone': refused ? 'bad' : 'good' },
        h('b', {}, refused ? 'Refused.' : 'Valid.'),
        ' ',
        refused ? `${title} would refuse it:` : `${title} would accept it.`,
      ),
      refused &&
        h(
          'ul',
          { class: 'errors' },
          answer.problems.map((problem) => h('li', {}, problem)),
        ),
      answer.warnings.length > 0 && [
        h('p', { class: 'outcome', 'data-tone': 'fair' }, h('b', {}, 'Warnings for clients.')),
        h(
          'ul',
          { class: 'errors' },
          answer.warnings.map((warning) => h('li', {}, warning)),
        ),
      ],
      h('p', { class: 'outcome', 'data-tone': tone }, h('b', {}, `${signature}.`), ' ', because),
      ends !== null &&
        h('div', { class: 'left' }, h('span', {}, 'Expires in'), left, share(inSeconds(answer.issued_at), ends)),
      h(
        'dl',
        { class: 'facts' },
        [
          ['Room', answer.room],
          ['Role', answer.role],
          ['User', answer.user],
          ['Services', answer.services.join(', ')],
          ['Note', answer.notes.join(', ')],
        ]
          .filter(([, value]) => value)
          .map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))),
        ends !== null && h('div', {}, h('dt', {}, 'Expires'), h('dd', {}, moment(ends))),
        answer.never_expires && h('div', {}, h('dt', {}, 'Expires'), h('dd', {}, 'never')),
      ),
    ),
  ];
  if (ends !== null) countdownOnce(left, ends);
  if (answer.header) parts.push(table('Header', answer.header));
  const { services, ...rest } = claims;
  if (Array.isArray(services)) {
    parts.push(table('Claims', rest));
    for (const { name, type, privileges, ...more } of services) {
      const lifetimes = Object.fromEntries(
        Object.entries(privileges).map(([privilege, seconds]) => [privilege, `for ${span(seconds)}`]),
      );
      parts.push(table(`Service ${type}: ${name}`, { ...more, ...lifetimes }));
    }
  } else {
    parts.push(table('Claims', claims));
  }
  return parts;
}

/** Count down, and inspect the token again when it expires. */
function countdownOnce(element, ends) {
  const over = ends <= Date.now() / 1000;
  countdown(element, ends, 'none', over ? undefined : read);
}

function share(from, to) {
  if (!from || to <= from) return null;
  const spent = Math.min(1, Math.max(0, (Date.now() / 1000 - from) / (to - from)));
  return h('progress', { max: '1', value: String(1 - spent), 'aria-label': 'Share of its lifetime that is left' });
}

function table(title, entries) {
  const rows = Object.entries(entries).map(([name, value]) =>
    h(
      'tr',
      {},
      h('th', { scope: 'row' }, name),
      h('td', {}, said(value), TIMES.has(name) && h('span', { class: 'says' }, inWords(value))),
    ),
  );
  return h(
    'section',
    { class: 'card' },
    h('table', { class: 'claims' }, h('caption', {}, title), h('tbody', {}, rows)),
  );
}

const inSeconds = (time) => (time === null ? null : Date.parse(time) / 1000);

const said = (value) => (typeof value === 'string' ? value : JSON.stringify(value));

function inWords(value) {
  const number = Number(value);
  if (!Number.isFinite(number)) return '';
  const seconds = number > 1e11 ? number / 1000 : number;
  return Math.abs(seconds) < 8e12 ? ` ${moment(seconds)}` : '';
}

function take(token) {
  $('token').value = token;
  read();
}

export function start() {
  events.addEventListener('minted', ({ detail }) => {
    latest = detail;
    $('take').disabled = false;
  });
  events.addEventListener('inspect', ({ detail }) => {
    location.hash = '#inspect';
    take(detail);
  });
  $('take').disabled = true;
  $('take').addEventListener('click', () => take(latest));
  $('clear').addEventListener('click', () => {
    take('');
    $('token').focus();
  });
  $('token').addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(read, PAUSE_MS);
  });
}

export function shown() {}
