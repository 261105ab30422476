// The policy's editor: problems by line while it is edited, a draft that survives a reload, undo.

import { $, h } from './dom.js';
import { load, save } from './drafts.js';
import { ask, emit, stack } from './stack.js';

const PAUSE_MS = 300;

let stored = '';
/** Texts that were replaced, newest last. */
const replaced = [];
let checking = 0;
let timer;

function drawLines() {
  const count = $('policy').value.split('\n').length;
  $('line-numbers').textContent = Array.from({ length: count }, (_, index) => index + 1).join('\n');
  $('line-numbers').scrollTop = $('policy').scrollTop;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Lay out a stored policy, which has no spaces; text that is not JSON stays as it is. */
function laidOut(text) {
  const document = text.includes('\n') ? undefined : parsed(text);
  return document === undefined ? text : written(document, '');
}

/** Write JSON with one field of the document or of a rule on each line. */
function written(value, indent) {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const inside = `${indent}  `;
  const parts = Array.isArray(value)
    ? value.map((one) => written(one, inside))
    : Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${written(one, inside)}`);
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  if (!parts.length) return open + close;
  if (indent.length < 6) return `${open}\n${inside}${parts.join(`,\n${inside}`)}\n${indent}${close}`;
  const space = Array.isArray(value) ? '' : ' ';
  return open + space + parts.join(', ') + space + close;
}

/** Show the stored policy, unless the editor has changes. */
export function show(text) {
  const draft = $('policy').value;
  const same = draft && JSON.stringify(parsed(draft)) === JSON.stringify(parsed(text));
  const untouched = !draft || draft === stored;
  stored = same ? draft : laidOut(text);
  if (untouched && !same) setPolicy(stored);
  saveDraft();
}

const edited = () => $('policy').value !== stored;

/** Keep changes over a reload; a text equal to the stored one is not a draft. */
function saveDraft() {
  save('policy', edited() ? $('policy').value : null);
}

function setPolicy(text) {
  $('policy').value = text;
  drawLines();
  saveDraft();
  check();
}

/** Replace the text so that "Undo" brings it back. */
function replacePolicy(text) {
  if ($('policy').value === text) return;
  replaced.push($('policy').value);
  $('policy-undo').disabled = false;
  setPolicy(text);
}

function undo() {
  setPolicy(replaced.pop());
  $('policy-undo').disabled = replaced.length === 0;
  $('policy').focus();
}

function loadExample(name) {
  const message = 'Replace your changes to the policy with this example? You can undo it.';
  if (!edited() || window.confirm(message)) replacePolicy(stack.policies[name]);
}

async function check() {
  const number = ++checking;
  let found;
  try {
    found = await ask('POST', 'policy/check', { text: $('policy').value });
  } catch (error) {
    found = { problems: [{ line: 1, where: '', why: error.message }], warnings: [] };
  }
  if (number !== checking) return;
  $('policy-put').disabled = found.problems.length > 0;
  const listed = (tone, word) => (one) =>
    h(
      'li',
      {},
      h(
        'button',
        { type: 'button', class: tone, onclick: () => goToLine(one.line) },
        h('b', {}, `Line ${one.line}`),
        h('span', {}, `${word}${one.where} ${one.why}`),
      ),
    );
  const inShort =
    found.rules === undefined || found.rules === null
      ? []
      : [
          h(
            'p',
            { class: 'note' },
            `${found.rules} ${found.rules === 1 ? 'rule' : 'rules'}, mode ${found.mode}, ${found.bytes} bytes minified (${found.tier} tier)`,
          ),
        ];
  const findings = [...found.problems.map(listed('bad', '')), ...found.warnings.map(listed('fair', 'Warning: '))];
  $('policy-check').replaceChildren(...(findings.length ? [h('ul', {}, findings)] : []), ...inShort);
  emit('checked');
}

function goToLine(line) {
  const area = $('policy');
  const lines = area.value.split('\n');
  const begin = lines.slice(0, line - 1).join('\n').length + (line > 1 ? 1 : 0);
  area.focus();
  area.setSelectionRange(begin, begin + (lines[line - 1] ?? '').length);
  area.scrollTop = Math.max(0, (line - 6) * 20);
}

/** Build the editor; `put` receives the text to store. */
export function lay(put) {
  $('policy-example').append(
    h('option', { value: '' }, 'an example …'),
    ...Object.keys(stack.policies).map((name) => h('option', { value: name }, name)),
  );
  $('policy-example').addEventListener('change', ({ target }) => {
    const name = target.value;
    target.value = '';
    if (name) loadExample(name);
  });
  $('policy').addEventListener('scroll', drawLines);
  $('policy').addEventListener('input', () => {
    drawLines();
    saveDraft();
    clearTimeout(timer);
    timer = setTimeout(check, PAUSE_MS);
  });
  $('policy-revert').addEventListener('click', () => replacePolicy(stored));
  $('policy-undo').addEventListener('click', undo);
  const draft = load('policy', null);
  if (draft !== null) setPolicy(draft);
  $('policy-form').addEventListener('submit', (event) => {
    event.preventDefault();
    put($('policy').value);
  });
}
