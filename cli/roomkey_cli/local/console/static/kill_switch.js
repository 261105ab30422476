// The kill switch: what is off, as a form and as the stored text.

import { $, h, choice, choose, chosen } from './dom.js';
import { stack } from './stack.js';

/** The kinds that can be off: those of the served platforms' tokens, and invites. */
const KINDS = [...new Set(Object.values(stack.platforms).flatMap(({ fields }) => Object.keys(fields))), 'invite'];
const has = (platform, kind) => (kind === 'invite' ? 'app' : kind) in stack.platforms[platform].fields;
const WHOLE = ['true', 'false'];

/** The last known stored text. */
let stored = 'false';

const named = (kind, of) => `${kind === 'invite' ? 'invites' : `${kind} tokens`} ${of}`;
const boxes = () => [...$('scopes').querySelectorAll('input')];

/** Whether a wider scope than this one is ticked. */
function implied(scope, ticked) {
  const [platform, kind] = scope.split('/');
  return kind !== undefined && (ticked.has(platform) || ticked.has(kind));
}

function flagText() {
  const mode = chosen($('flag-mode'));
  if (mode !== 'part') return mode;
  const ticked = new Set(
    boxes()
      .filter((box) => box.checked && !box.disabled)
      .map((box) => box.value),
  );
  return [...ticked].filter((scope) => !implied(scope, ticked)).join(',') || 'false';
}

function drawFlag() {
  $('scopes').hidden = chosen($('flag-mode')) !== 'part';
  const ticked = new Set(
    boxes()
      .filter((box) => box.checked && !box.disabled)
      .map((box) => box.value),
  );
  for (const box of boxes()) {
    const covered = implied(box.value, ticked);
    if (covered || box.disabled) box.checked = covered;
    box.disabled = covered;
  }
  $('flag-text').textContent = flagText();
}

/** The scopes that a text turns off, in one spelling. */
function meaning(text) {
  const scopes = new Set(text.split(','));
  return [...scopes]
    .filter((scope) => !implied(scope, scopes))
    .sort()
    .join();
}

/** Whether the form equals `text`. "partly off" is a choice under way, even while nothing is ticked. */
function equals(text) {
  const part = chosen($('flag-mode')) === 'part';
  return part !== WHOLE.includes(text) && meaning(flagText()) === meaning(text);
}

/** Show the stored text, unless another choice is under way. */
export function show(text) {
  const untouched = equals(stored) || equals(text);
  stored = text;
  if (untouched) setFlag(text);
}

function setFlag(text) {
  const whole = WHOLE.includes(text);
  choose($('flag-mode'), whole ? text : 'part');
  const scopes = whole ? [] : text.split(',');
  for (const box of boxes()) {
    box.disabled = false;
    box.checked = scopes.includes(box.value);
  }
  drawFlag();
}

/** Build the form; `put` receives the text to store. */
export function lay(put) {
  choice(
    $('flag-mode'),
    [
      ['false', 'on'],
      ['true', 'off'],
      ['part', 'partly off'],
    ],
    drawFlag,
  );
  const box = (value, name, text) =>
    h('label', {}, h('input', { type: 'checkbox', value, 'aria-label': name, onchange: drawFlag }), text);
  $('scopes').replaceChildren(
    h(
      'table',
      {},
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          ['Off for', ...KINDS].map((text) => h('th', { scope: 'col' }, text)),
        ),
      ),
      h(
        'tbody',
        {},
        h(
          'tr',
          {},
          h('th', { scope: 'row' }, 'every platform'),
          KINDS.map((kind) => h('td', {}, box(kind, named(kind, 'on every platform')))),
        ),
        Object.entries(stack.platforms).map(([name]) =>
          h(
            'tr',
            {},
            h('th', { scope: 'row' }, box(name, `every token of ${name}`, name)),
            KINDS.map((kind) => h('td', {}, has(name, kind) && box(`${name}/${kind}`, named(kind, `of ${name}`)))),
          ),
        ),
      ),
    ),
  );
  $('flag-form').addEventListener('submit', (event) => {
    event.preventDefault();
    put(flagText());
  });
  setFlag(stored);
}
