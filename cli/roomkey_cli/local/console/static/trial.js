// A question to the policy in the editor, in force or not.

import { $, h } from './dom.js';
import { ask, events, stack } from './stack.js';

const PAUSE_MS = 300;
const KINDS = ['app', 'management'];

/** Whether there is an answer to be kept up with what is written. */
let asked = false;
let trying = 0;
let timer;

const WHO = [
  ['user', 'a user who signed in'],
  ['anyone', 'anyone, not signed in'],
  ['principal', 'an IAM principal'],
];
const TEXTS = ['groups', 'claims', 'room', 'role', 'services', 'lifetime'];

function drawTry() {
  const who = $('try-who').value;
  $('try-name').parentElement.hidden = who === 'anyone';
  $('try-name').previousElementSibling.textContent = who === 'principal' ? 'ARN' : 'Name';
  for (const id of ['try-groups', 'try-claims']) $(id).parentElement.hidden = who !== 'user';
  const fields = stack.platforms[$('try-platform').value].fields[$('try-kind').value];
  for (const [id, field] of [
    ['try-room', 'room_id'],
    ['try-role', 'role'],
    ['try-services', 'services'],
  ]) {
    $(id).parentElement.hidden = !(field in fields);
  }
}

/** The question that the form asks; what is not on the screen is not part of it. */
function question() {
  const who = $('try-who').value;
  const columns = {
    as: who === 'anyone' ? who : `${who}:${$('try-name').value}`,
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
    !allowed && mode === 'audit' ? ' The policy’s mode is audit: the token is minted all the same, and recorded.' : '';
  $('verdict').className = 'outcome';
  $('verdict').dataset.tone = allowed ? 'good' : 'bad';
  $('verdict').replaceChildren(
    ...(error ? [error] : [h('b', {}, allowed ? 'Allowed' : 'Refused'), `, ${why}.${passing}`]),
  );
  $('verdict-rules').replaceChildren(
    ...(rules.length ? [h('p', { class: 'note' }, 'What each rule says, the nearest first:'), ruleList(rules)] : []),
  );
}

/** What grants it comes first, then what lacks least. */
function ruleList(rules) {
  const nearest = rules.toSorted((a, b) => a.reasons.length - b.reasons.length);
  const items = nearest.map(({ grants, reasons }) =>
    h(
      'li',
      { class: grants ? 'grants' : '' },
      reasons.map((line) => h('span', {}, line.trim())),
    ),
  );
  return h('ul', { class: 'rules', tabindex: '0', 'aria-label': 'What each rule says' }, items);
}

/** Builds the form. It is filled in by who was refused elsewhere and wants to know why. */
export function lay() {
  $('try-who').append(...WHO.map(([value, text]) => h('option', { value }, text)));
  $('try-platform').append(...Object.keys(stack.platforms).map((name) => h('option', { value: name }, name)));
  $('try-kind').append(...KINDS.map((kind) => h('option', { value: kind }, kind)));
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
    location.hash = '#switch';
    asked = true;
    if ($('policy').value) decide(); // Else it is on its way, and will be checked.
  });
  drawTry();
}
