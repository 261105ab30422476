// A test of the policy in the editor, applied or not.

import { $, h } from './dom.js';
import { ask, events, stack } from './stack.js';

const PAUSE_MS = 300;

/** Whether a verdict is shown, which then follows the editor. */
let asked = false;
let trying = 0;
let timer;

const WHO = [
  ['user', 'a user who signed in'],
  ['anyone', 'anyone, not signed in'],
  ['invite', 'a guest with an invite'],
  ['principal', 'an IAM principal'],
];
const TEXTS = ['groups', 'claims', 'room', 'role', 'services', 'lifetime'];

const NAMELESS = new Set(['anyone', 'invite']);

/** An invite names the fields of the app tokens that its guests get. */
const tokenKind = (kind) => (kind === 'invite' ? 'app' : kind);

function drawTry() {
  const who = $('try-who').value;
  $('try-name').parentElement.hidden = NAMELESS.has(who);
  $('try-name').previousElementSibling.textContent = who === 'principal' ? 'ARN' : 'Name';
  for (const id of ['try-groups', 'try-claims']) $(id).parentElement.hidden = who !== 'user';
  const kinds = stack.platforms[$('try-platform').value].fields;
  for (const option of $('try-kind').options) option.disabled = !(tokenKind(option.value) in kinds);
  if (!(tokenKind($('try-kind').value) in kinds)) [$('try-kind').value] = Object.keys(kinds);
  const fields = kinds[tokenKind($('try-kind').value)];
  for (const [id, field] of [
    ['try-room', 'room_id'],
    ['try-role', 'role'],
    ['try-services', 'services'],
  ]) {
    $(id).parentElement.hidden = !(field in fields);
  }
}

/** The question in the form, without hidden fields. */
function question() {
  const who = $('try-who').value;
  const columns = {
    as: NAMELESS.has(who) ? who : `${who}:${$('try-name').value}`,
    platform: $('try-platform').value,
    kind: $('try-kind').value,
  };
  for (const name of TEXTS) {
    const input = $(`try-${name}`);
    if (!input.parentElement.hidden && input.value.trim()) columns[name] = input.value.trim();
  }
  return columns;
}

async function decide() {
  const number = ++trying;
  let answer;
  try {
    answer = await ask('POST', 'policy/decision', { text: $('policy').value, question: question() });
  } catch (error) {
    answer = { allowed: false, rules: [], error: error.message };
  }
  if (number !== trying) return;
  const { allowed, why, mode, rules, error } = answer;
  const passing =
    !allowed && mode === 'audit' ? ' The policy’s mode is audit: the token is minted anyway, and recorded.' : '';
  $('verdict').className = 'outcome';
  $('verdict').dataset.tone = allowed ? 'good' : 'bad';
  $('verdict').replaceChildren(
    ...(error ? [error] : [h('b', {}, allowed ? 'Allowed' : 'Refused'), `, ${why}.${passing}`]),
  );
  $('verdict-rules').replaceChildren(
    ...(rules.length ? [h('p', { class: 'note' }, 'Rules, closest match first:'), ruleList(rules)] : []),
  );
}

/** Rules that grant it come first, then those with the fewest mismatches. */
function ruleList(rules) {
  const nearest = rules.toSorted((a, b) => a.reasons.length - b.reasons.length);
  const items = nearest.map(({ grants, reasons }) =>
    h(
      'li',
      { class: grants ? 'grants' : '' },
      reasons.map((line) => h('span', {}, line.trim())),
    ),
  );
  return h('ul', { class: 'rules', tabindex: '0', 'aria-label': 'Rules' }, items);
}

/** Build the form. A refusal in another view can fill it in. */
export function lay() {
  $('try-who').append(...WHO.map(([value, text]) => h('option', { value }, text)));
  $('try-platform').append(...Object.keys(stack.platforms).map((name) => h('option', { value: name }, name)));
  const kinds = new Set(Object.values(stack.platforms).flatMap(({ fields }) => Object.keys(fields)));
  $('try-kind').append(...[...kinds, 'invite'].map((kind) => h('option', { value: kind }, kind)));
  const first = { name: 'teacher', groups: 'teachers', room: 'class-7b', role: 'host' };
  for (const [name, value] of Object.entries(first)) $(`try-${name}`).value = value;
  $('try-form').addEventListener('submit', (event) => {
    event.preventDefault();
    asked = true;
    decide();
  });
  $('try-form').addEventListener('input', () => {
    drawTry();
    clearTimeout(timer);
    if (asked) timer = setTimeout(decide, PAUSE_MS);
  });
  events.addEventListener('checked', () => asked && decide());
  events.addEventListener('why', ({ detail }) => {
    const { as, ...texts } = detail;
    $('try-who').value = as;
    for (const [name, text] of Object.entries({ claims: '', ...texts })) $(`try-${name}`).value = text;
    drawTry();
    addEventListener('hashchange', () => $('try-title').focus(), { once: true });
    location.hash = '#controls';
    asked = true;
    if ($('policy').value) decide(); // Otherwise it is loading, and its check will call this.
  });
  drawTry();
}
