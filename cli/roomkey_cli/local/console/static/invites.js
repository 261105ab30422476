// Invites: create a link for guests, and redeem one as a guest does.

import { callerOf, callers, send } from './client.js';
import { $, choice, chosen, copyAndSay, h, moment, span } from './dom.js';
import { load, save } from './drafts.js';
import { emit, stack } from './stack.js';
import { samples } from './vendors.js';

const TYPED = ['invite-room', 'invite-role', 'invite-name', 'invite-lifetime', 'guest-id'];
const access = () => (stack.access === 'open' ? 'jwt' : stack.access);

function say(place, tone, title, text, ...more) {
  $(place).replaceChildren(h('p', { class: 'outcome', 'data-tone': tone }, h('b', {}, title), ' ', text), ...more);
}

/** Show a refusal, each error with its field's name. */
function refused(place, { answer }) {
  const { code, msg, message, errors = [] } = answer;
  const items = errors.map(({ field, reason }) => h('li', {}, h('code', {}, field), ` ${reason}`));
  const title = code ? `Refused: ${code}.` : `Refused by the gateway: ${message}.`;
  say(place, 'bad', title, msg ?? '', ...(items.length ? [h('ul', { class: 'errors' }, items)] : []));
}

async function run(place, button, work) {
  if (button.getAttribute('aria-busy')) return;
  button.setAttribute('aria-busy', 'true');
  try {
    await work();
  } catch {
    say(place, 'bad', 'No answer.', 'The local stack does not answer. Is it still running?');
  } finally {
    button.removeAttribute('aria-busy');
  }
}

const given = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''));

async function create() {
  const lifetime = $('invite-lifetime').value.trim();
  const body = given({
    platform: $('invite-platform').value,
    room_id: $('invite-room').value,
    role: $('invite-role').value,
    guest_name: $('invite-name').value,
    expires_in: /^\d{1,9}$/.test(lifetime) ? Number(lifetime) : lifetime,
  });
  const result = await send({
    path: '/v1/invites',
    body,
    caller: callerOf(chosen($('invite-who')), $('invite-access-token').value.trim()),
  });
  const { answer } = result;
  if (!answer.success) return refused('invite-answer', result);
  const link = answer.url ?? answer.invite;
  $('redeem-invite').value = answer.invite;
  say(
    'invite-answer',
    'good',
    'Invite created.',
    `It expires in ${span(answer.expires_in)}, on ${moment(answer.expires_at)}.`,
    h('pre', { class: 'token', tabindex: '0', 'aria-label': 'The invite' }, link),
    h(
      'div',
      { class: 'row start' },
      h('button', { type: 'button', onclick: () => copyAndSay(link) }, answer.url ? 'Copy link' : 'Copy invite'),
    ),
    h('p', { class: 'note' }, 'Invite id, for the block list: ', h('code', {}, answer.invite_id)),
  );
}

async function redeem() {
  const body = given({
    invite: $('redeem-invite').value.trim().split('#').pop(),
    user_id: $('guest-id').value,
  });
  const result = await send({ path: '/v1/invites/redeem', body, caller: { type: 'anonymous' } });
  const { answer } = result;
  if (!answer.success) return refused('redeem-answer', result);
  say(
    'redeem-answer',
    'good',
    'Redeemed.',
    `${answer.user_id} joins ${answer.room_id} as ${answer.role} for ${span(answer.expires_in)}.`,
    h('pre', { class: 'token', tabindex: '0', 'aria-label': 'The guest’s token' }, answer.token),
    h(
      'div',
      { class: 'row start' },
      h('button', { type: 'button', onclick: () => copyAndSay(answer.token) }, 'Copy token'),
      h('button', { type: 'button', onclick: () => emit('inspect', answer.token) }, 'Inspect'),
    ),
  );
}

/** Fill in sample values for the chosen platform. */
function layPlatform() {
  const { room, roles, others } = samples($('invite-platform').value);
  $('invite-room').value = room;
  $('invite-role').value = 'guest' in roles ? 'guest' : (Object.keys(roles).at(-1) ?? others.role ?? '');
}

export function start() {
  const platforms = Object.entries(stack.platforms).filter(([, { fields }]) => 'app' in fields);
  $('invite-platform').append(...platforms.map(([name, { title }]) => h('option', { value: name }, title)));
  $('invite-platform').addEventListener('change', layPlatform);
  layPlatform();
  choice($('invite-who'), callers(access()), () => {});
  $('invite-access-token-field').hidden = chosen($('invite-who')) !== 'bearer';
  $('invites-off').hidden = stack.access !== 'open';
  for (const [id, text] of Object.entries(load('invites', {}))) if (TYPED.includes(id)) $(id).value = text;
  for (const form of ['invite-form', 'redeem-form']) {
    $(form).addEventListener('input', () => save('invites', Object.fromEntries(TYPED.map((id) => [id, $(id).value]))));
  }
  $('invite-form').addEventListener('submit', (event) => {
    event.preventDefault();
    run('invite-answer', $('create-invite'), create);
  });
  $('redeem-form').addEventListener('submit', (event) => {
    event.preventDefault();
    run('redeem-answer', $('redeem'), redeem);
  });
}

export function shown() {}
