// The endpoint's response in words: a token or a refusal.

import { $, copyAndSay, countdown, h, span } from './dom.js';
import { emit, stack } from './stack.js';

/** Show the one-line summary; `tone` is good or bad. */
export function say(tone, title, text) {
  $('outcome').className = 'outcome';
  $('outcome').dataset.tone = tone;
  $('outcome').replaceChildren(h('b', {}, title), ' ', text);
}

/** Show a token. `known` is the form at the time of the request, `text` what was copied. */
export function minted(known, { status, answer, took }, text, onClipboard) {
  const article = known.kind === 'management' ? 'A management token' : `A ${known.role || known.kind} token`;
  say(
    'good',
    onClipboard ? 'Minted and copied.' : 'Minted.',
    `${article} for ${stack.platforms[known.platform].title}, valid for ${span(answer.expires_in)}.`,
  );
  const left = h('dd', {});
  countdown(left, answer.expires_at, 'expired');
  $('answer-body').replaceChildren(
    h('pre', { class: 'token', tabindex: '0', 'aria-label': 'The token' }, text),
    h(
      'div',
      { class: 'row start' },
      h('button', { type: 'button', onclick: () => copyAndSay(text) }, 'Copy again'),
      answer.token && h('button', { type: 'button', onclick: () => emit('inspect', answer.token) }, 'Inspect'),
    ),
    h(
      'dl',
      { class: 'facts' },
      fact('Expires in', left),
      answer.user_id !== undefined && fact('User', answer.user_id),
      ...Object.entries(answer.connect ?? {}).map(([name, value]) => fact(name, h('code', {}, value))),
      answer.authorization &&
        fact('Header', h('code', {}, `${answer.authorization.header}: ${answer.authorization.prefix}…`)),
      fact('Status', `${status} in ${took.toFixed(0)} ms`),
    ),
    whole(answer),
  );
  if (answer.token) emit('minted', answer.token);
}

const fact = (name, value) =>
  h('div', {}, h('dt', {}, name), value instanceof HTMLElement && value.tagName === 'DD' ? value : h('dd', {}, value));

const whole = (answer) =>
  h(
    'details',
    {},
    h('summary', {}, 'Full response'),
    h('pre', { tabindex: '0', 'aria-label': 'Full response' }, JSON.stringify(answer, null, 2)),
  );

const toControls = (text) => h('a', { href: '#controls' }, text);

/** Help by error code. */
const HELP = {
  'not-allowed': (known) => [
    'No rule of the policy grants this token to this caller.',
    h('button', { type: 'button', onclick: () => emit('why', question(known)) }, 'Show why'),
  ],
  'minting-disabled': () => ['Minting is off for this token.', toControls('Open the kill switch')],
  'user-mismatch': () => ['Leave the user empty: the token is for the signed-in user.'],
  'kill-switch-unavailable': () => [
    'The kill switch cannot be read or is invalid, so nothing is minted.',
    toControls('Open the kill switch'),
  ],
  'credentials-unavailable': () => ['The stack has no credentials for this platform.'],
  'policy-unavailable': () => [
    'The policy cannot be read or is invalid, so nothing is minted.',
    toControls('Open the policy'),
  ],
};
const GATEWAY_HELP = {
  401: 'The gateway requires a valid access token. The function was not called, so there is no audit line.',
  403: 'The gateway requires a valid AWS signature. The function was not called, so there is no audit line.',
};

/** Show a refusal of the function or of the gateway. `errors` are those that have no field in the form. */
export function refused(known, { status, answer, took, challenge }, errors) {
  const { code, msg, message } = answer;
  say('bad', code ? `Refused: ${code}.` : `Refused by the gateway: ${message}.`, msg ?? '');
  const [help, action] = HELP[code]?.(known) ?? [code ? null : GATEWAY_HELP[status]];
  const items = errors.map(({ field, reason }) => h('li', {}, h('code', {}, field), ` ${reason}`));
  $('answer-body').replaceChildren(
    ...(items.length ? [h('ul', { class: 'errors' }, items)] : []),
    ...(help ? [h('p', {}, help)] : []),
    ...(action ? [h('div', { class: 'row start' }, action)] : []),
    h(
      'dl',
      { class: 'facts' },
      fact('Status', `${status} in ${took.toFixed(0)} ms`),
      answer.request_id && fact('Request', h('code', {}, answer.request_id)),
      challenge && fact('Challenge', h('code', {}, challenge)),
    ),
    whole(answer),
  );
}

/** The request as a question to the policy. */
function question({ platform, kind, role, asked }) {
  const { type, name: user } = asked.caller;
  return {
    as: type === 'key' ? 'principal' : type === 'user' ? 'user' : 'anyone',
    name: type === 'key' ? stack.key.principal : (user ?? ''),
    groups: type === 'user' ? stack.users[user].join(' ') : '',
    platform,
    kind,
    room: asked.body?.room_id ?? '',
    role: role ?? '',
    services: (asked.body?.services ?? []).join(' '),
    lifetime: String(asked.body?.expires_in ?? ''),
  };
}
