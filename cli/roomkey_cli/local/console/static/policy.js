// The policy's editor: what is wrong with the document, and on which line, while it is written.

import { $, h } from './dom.js';
import { ask, stack, tell } from './stack.js';

const PAUSE_MS = 300;

let stored = '';
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

/** What is stored has no space between its parts: people read it with some. What is no JSON is shown as it is. */
function laidOut(text) {
  const document = text.includes('\n') ? undefined : parsed(text);
  return document === undefined ? text : written(document, '');
}

/** JSON with each field of the document, and of each rule, on a line of its own. */
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

/** What is stored goes into the editor, unless something else is being written there, or the same is. */
export function show(text) {
  const draft = $('policy').value;
  const same = draft && JSON.stringify(parsed(draft)) === JSON.stringify(parsed(text));
  const untouched = !draft || draft === stored;
  stored = same ? draft : laidOut(text);
  if (untouched && !same) setPolicy(stored);
}

function setPolicy(text) {
  $('policy').value = text;
  drawLines();
  check();
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
  tell('checked');
}

function goToLine(line) {
  const area = $('policy');
  const lines = area.value.split('\n');
  const begin = lines.slice(0, line - 1).join('\n').length + (line > 1 ? 1 : 0);
  area.focus();
  area.setSelectionRange(begin, begin + (lines[line - 1] ?? '').length);
  area.scrollTop = Math.max(0, (line - 6) * 20);
}

/** Builds the editor; `put` is told the text that is to be in force. */
export function lay(put) {
  $('policy-example').append(
    h('option', { value: '' }, 'an example …'),
    ...Object.keys(stack.policies).map((name) => h('option', { value: name }, name)),
  );
  $('policy-example').addEventListener('change', ({ target }) => {
    if (target.value) setPolicy(stack.policies[target.value]);
    target.value = '';
  });
  $('policy').addEventListener('scroll', drawLines);
  $('policy').addEventListener('input', () => {
    drawLines();
    clearTimeout(timer);
    timer = setTimeout(check, PAUSE_MS);
  });
  $('policy-revert').addEventListener('click', () => setPolicy(stored));
  $('policy-form').addEventListener('submit', (event) => {
    event.preventDefault();
    put($('policy').value);
  });
}
