// What the endpoint answered, in words: a token, or why there is none.

import { $, h, copyAndSay, countdown, span } from './dom.js';
import { stack, tell } from './stack.js';

/** The one line that sums it up: `tone` is good or bad. */
export function say(tone, title, text) {
  $('outcome').className = 'outcome';
  $('outcome').dataset.tone = tone;
  $('outcome').replaceChildren(h('b', {}, title), ' ', text);
}

/** Shows a token. `known` is what was on the screen when it was asked for. */
export function minted(known, { status, answer, took }, copied) {
  const what = known.kind === 'management' ? 'A management token' : `A ${known.role} token`;
  say(
    'good',
    copied ? 'Minted and copied.' : 'Minted.',
    `${what} for ${stack.platforms[known.platform].title}, good for ${span(answer.expires_in)}.`,
  );
  const left = h('dd', {});
  countdown(left, answer.expires_at, 'over');
  $('answer-body').replaceChildren(
    h('pre', { class: 'token', tabindex: '0', 'aria-label': 'The token' }, answer.token),
    h(
      'div',
      { class: 'row start' },
      h('button', { type: 'button', onclick: () => copyAndSay(answer.token) }, 'Copy again'),
      h('button', { type: 'button', onclick: () => tell('read', answer.token) }, 'Read it'),
    ),
    h(
      'dl',
      { class: 'facts' },
      fact('Ends in', left),
      answer.user_id !== undefined && fact('User', answer.user_id),
      answer.authorization &&
        fact('Send as', h('code', {}, `${answer.authorization.header}: ${answer.authorization.prefix}…`)),
      fact('Answered', `${status} in ${took.toFixed(0)} ms`),
    ),
    whole(answer),
  );
  tell('minted', answer.token);
}

const fact = (name, value) =>
  h('div', {}, h('dt', {}, name), value instanceof HTMLElement && value.tagName === 'DD' ? value : h('dd', {}, value));

const whole = (answer) =>
  h(
    'details',
    {},
    h('summary', {}, 'The whole answer'),
    h('pre', { tabindex: '0', 'aria-label': 'The whole answer' }, JSON.stringify(answer, null, 2)),
  );

/** What helps with a refusal, by its code; those without one are the gateway's. */
const HELP = {
  'not-allowed': (known) => [
    'The policy grants this caller no such token.',
    h('button', { type: 'button', onclick: () => tell('why', question(known)) }, 'Ask the policy why'),
  ],
  'minting-disabled': () => ['This is switched off.', h('a', { href: '#switch' }, 'To the switch')],
  'user-mismatch': () => ['Leave the user empty: the token is for whoever signed in.'],
  'kill-switch-unavailable': () => [
    'The flag cannot be read, or is none. Unknown is not on.',
    h('a', { href: '#switch' }, 'To the switch'),
  ],
  'credentials-unavailable': () => ['The stack has nothing to sign with for this platform.'],
  'policy-unavailable': () => [
    'The policy cannot be read, or is none. Nobody may have anything.',
    h('a', { href: '#switch' }, 'To the policy'),
  ],
};
const GATEWAY_HELP = {
  401: 'The gateway lets nobody in without a good access token. The function was not asked, so there is no audit line.',
  403: 'The gateway lets nobody in without a good AWS signature. The function was not asked, so there is no audit line.',
};

/** Shows a refusal, the function's or the gateway's, and what helps. */
export function refused(known, { status, answer, took, challenge }) {
  const { code, msg, message } = answer;
  say('bad', code ? `Refused: ${code}.` : `Refused by the gateway: ${message}.`, msg ?? '');
  const [help, action] = HELP[code]?.(known) ?? [code ? null : GATEWAY_HELP[status]];
  $('answer-body').replaceChildren(
    ...(answer.errors?.length
      ? [
          h(
            'ul',
            { class: 'errors' },
            answer.errors.map(({ field, reason }) => h('li', {}, h('code', {}, field), ` ${reason}`)),
          ),
        ]
      : []),
    ...(help ? [h('p', {}, help)] : []),
    ...(action ? [h('div', { class: 'row start' }, action)] : []),
    h(
      'dl',
      { class: 'facts' },
      fact('Answered', `${status} in ${took.toFixed(0)} ms`),
      answer.request_id && fact('Request', h('code', {}, answer.request_id)),
      challenge && fact('Challenge', h('code', {}, challenge)),
    ),
    whole(answer),
  );
}

/** The request as a question to the policy. */
function question({ platform: name, kind: of, role: as, asked }) {
  const { type, name: user } = asked.caller;
  return {
    as: type === 'key' ? 'principal' : type === 'user' ? 'user' : 'anyone',
    name: type === 'key' ? stack.key.principal : (user ?? ''),
    groups: type === 'user' ? stack.users[user].join(' ') : '',
    platform: name,
    kind: of,
    room: asked.body?.room_id ?? '',
    role: 'role' in stack.platforms[name].fields[of] ? (as ?? '') : '',
    services: (asked.body?.services ?? []).join(' '),
    lifetime: String(asked.body?.expires_in ?? ''),
  };
}
