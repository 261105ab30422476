// DOM helpers. All content is inserted as text, never as markup.

export const $ = (id) => document.getElementById(id);

/** Create an element. An attribute whose name begins with "on" is a listener; children are nodes or text. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Create an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

export function icon(name) {
  const paths = {
    key: ['M15.2 16.8 25 7M20 12l3.6 3.6', 'M16.5 20.5a5 5 0 1 1-10 0a5 5 0 1 1 10 0'],
    check: ['M7 17l6 6L25 10'],
  };
  return svg(
    'svg',
    { viewBox: '0 0 32 32', width: 22, height: 22, 'aria-hidden': 'true', class: 'icon' },
    paths[name].map((d) => svg('path', { d })),
  );
}

/** Fill `fieldset` with radio buttons for `options`: [value, text, title]. Keeps the choice if it still exists. */
export function choice(fieldset, options, onchange) {
  const name = fieldset.id;
  const before = chosen(fieldset);
  const inputs = options.map(([value, text, title]) =>
    h('label', { title }, h('input', { type: 'radio', name, value, onchange }), h('span', {}, text)),
  );
  fieldset.replaceChildren(fieldset.querySelector('legend'), h('div', { class: 'options' }, inputs));
  const values = options.map(([value]) => value);
  choose(fieldset, values.includes(before) ? before : values[0]);
}

export const chosen = (fieldset) => fieldset.querySelector('input[type=radio]:checked')?.value;

export function choose(fieldset, value) {
  for (const input of fieldset.querySelectorAll('input[type=radio]')) input.checked = input.value === value;
}

/** Copy text, or a promise of it: browsers allow copying only right after the click. */
export async function copy(text) {
  if (navigator.clipboard && window.ClipboardItem) {
    const blob = Promise.resolve(text).then((known) => new Blob([known], { type: 'text/plain' }));
    blob.catch(() => {}); // The caller handles the error.
    await navigator.clipboard.write([new ClipboardItem({ 'text/plain': blob })]);
    return;
  }
  // Over plain HTTP from another machine, this is the only clipboard.
  const area = h('textarea', { class: 'off-screen', 'aria-hidden': 'true' });
  area.value = await text;
  const focused = document.activeElement;
  document.body.append(area);
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  focused?.focus();
  if (!copied) throw new Error('the browser gave no access to the clipboard');
}

let toastTimer;

export function toast(text) {
  clearTimeout(toastTimer);
  $('toast').textContent = text;
  $('toast').classList.add('shown');
  toastTimer = setTimeout(() => $('toast').classList.remove('shown'), 4000);
}

/** Format seconds in at most two units: "1 h 5 min", "42 s". */
export function span(seconds) {
  let left = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [size, unit] of [
    [86400, 'd'],
    [3600, 'h'],
    [60, 'min'],
    [1, 's'],
  ]) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count) parts.push(`${count} ${unit}`);
  }
  return parts.slice(0, 2).join(' ') || '0 s';
}

export const moment = (seconds) =>
  new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' });

export const clock = (seconds) =>
  new Date(seconds * 1000).toLocaleTimeString(undefined, {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  });

/** Show the time until `end` in `element`, updated each second; then the text `over`. */
export function countdown(element, end, over, onend = () => {}) {
  const tick = () => {
    const left = end - Date.now() / 1000;
    element.textContent = left > 0 ? span(left) : over;
    if (left <= 0) onend();
    return left > 0;
  };
  if (!tick()) return;
  const timer = setInterval(() => {
    if (!element.isConnected || !tick()) clearInterval(timer);
  }, 1000);
}

/** Copy text and show a message. */
export function copyAndSay(text) {
  copy(text).then(
    () => toast('Copied.'),
    (error) => toast(`Not copied: ${error.message}.`),
  );
}
