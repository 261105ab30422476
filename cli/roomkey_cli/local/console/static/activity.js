// Activity: audit lines as they are written, their rate and their latency.

import { $, h, svg, choice, chosen, clock } from './dom.js';
import { ask } from './stack.js';

const POLL_MS = 1000;
const WINDOW_S = 120;
const BAR_S = 5;
const MAX_ROWS = 300;
const OUTCOMES = { minted: 'good', denied: 'fair', error: 'bad' };

/** Each {line, at, row, text}, oldest first. */
const entries = [];
let latest = 0;
let onScreen = false;
let paused = false;
let loaded = false;
let timer;

async function poll() {
  clearTimeout(timer);
  if (!onScreen || paused) return;
  try {
    const { now, lines } = await ask('GET', `audit?after=${latest}`);
    for (const { number, line } of lines) {
      if (number > latest) add(line); // Another poll may have brought it.
      latest = Math.max(latest, number);
    }
    loaded = true;
    plots(now);
    count();
  } catch (error) {
    $('line-count').textContent = error.message;
  }
  clearTimeout(timer);
  timer = setTimeout(poll, POLL_MS);
}

// --- lines -----------------------------------------------------------------------------------------------------------

function add(line) {
  const row = rowOf(line);
  const entry = { line, at: Date.parse(line.ts) / 1000, row, text: JSON.stringify(line).toLowerCase() };
  entries.push(entry);
  row.hidden = !fits(entry);
  $('lines').prepend(row);
  if (entries.length > MAX_ROWS) entries.shift().row.remove();
}

function rowOf(line) {
  const { requested = {}, caller = {}, token = {} } = line;
  const user = requested.user_id ?? token.user_id;
  const by = caller.user_id ?? caller.principal?.replace(/^arn:aws:iam::\d+:/, '') ?? 'anyone';
  const kind = [line.platform, line.kind].filter(Boolean).join(' ');
  const asked = [kind, requested.room_id, requested.role, requested.services?.join(' ')];
  const details = h(
    'details',
    {},
    h(
      'summary',
      {},
      h('time', { datetime: line.ts }, clock(Date.parse(line.ts) / 1000)),
      h('span', { class: 'tag', 'data-tone': OUTCOMES[line.decision] }, line.reason ?? line.decision),
      h('span', { class: 'asked' }, asked.filter(Boolean).join(' · ')),
      h('span', { class: 'by' }, `by ${by}${user && user !== by ? `, for ${user}` : ''}`),
      h('span', { class: 'ms' }, `${line.duration_ms} ms`),
    ),
  );
  details.addEventListener('toggle', () => {
    if (details.open && details.childElementCount === 1) {
      details.append(h('pre', { tabindex: '0', 'aria-label': 'Full line' }, JSON.stringify(line, null, 2)));
    }
  });
  return h('li', {}, details);
}

function fits({ line, text }) {
  const outcome = chosen($('outcomes'));
  const words = $('filter').value.trim().toLowerCase();
  return (outcome === 'all' || line.decision === outcome) && text.includes(words);
}

function filter() {
  for (const entry of entries) entry.row.hidden = !fits(entry);
  count();
}

function count() {
  const shown = entries.filter(({ row }) => !row.hidden).length;
  const text =
    entries.length === 0
      ? loaded
        ? 'No requests yet. Mint a token, here or with curl.'
        : 'Loading…'
      : `${shown} of ${entries.length} ${entries.length === 1 ? 'line' : 'lines'}, newest first`;
  if ($('line-count').textContent !== text) $('line-count').textContent = text;
}

// --- plots -----------------------------------------------------------------------------------------------------------

const HEIGHT = 78;

function plots(now) {
  const recent = entries.filter(({ at }) => now - at < WINDOW_S);
  rate(recent, now);
  latency(recent, now);
}

function frame(element, label, highest) {
  const width = element.clientWidth || 400;
  element.setAttribute('viewBox', `0 0 ${width} ${HEIGHT + 18}`);
  element.setAttribute('aria-label', label);
  element.replaceChildren(
    svg('line', { class: 'axis', x1: 0, x2: width, y1: HEIGHT, y2: HEIGHT }),
    svg('line', { class: 'axis', x1: 0, x2: width, y1: 0.5, y2: 0.5, 'stroke-dasharray': '2 4' }),
    svg('text', { x: 0, y: HEIGHT + 15 }, '2 min ago'),
    svg('text', { x: width, y: HEIGHT + 15, 'text-anchor': 'end' }, 'now'),
    svg('text', { x: width, y: 12, 'text-anchor': 'end' }, highest),
  );
  return width;
}

/** Bars of five seconds, one segment per outcome. */
function rate(recent, now) {
  const bars = Array.from({ length: WINDOW_S / BAR_S }, () => ({ minted: 0, denied: 0, error: 0 }));
  for (const { at, line } of recent) {
    const bar = bars[bars.length - 1 - Math.floor(Math.max(0, now - at) / BAR_S)];
    if (bar) bar[line.decision] += 1;
  }
  const total = (outcome) => recent.filter(({ line }) => line.decision === outcome).length;
  const errors = total('error');
  const label = `${total('minted')} minted, ${total('denied')} denied, ${errors} ${errors === 1 ? 'error' : 'errors'}`;
  const highest = Math.max(1, ...bars.map((bar) => bar.minted + bar.denied + bar.error));
  const width = frame($('rate'), `Requests of the last two minutes: ${label}`, `${highest} in ${BAR_S} s`);
  const step = width / bars.length;
  bars.forEach((bar, index) => {
    let top = HEIGHT;
    for (const outcome of Object.keys(OUTCOMES)) {
      const height = (bar[outcome] / highest) * (HEIGHT - 18);
      top -= height;
      if (height)
        $('rate').append(
          svg('rect', {
            class: outcome,
            x: index * step + 1,
            y: top,
            width: step - 2,
            height,
            rx: Math.min(2, height / 2),
          }),
        );
    }
  });
  $('rate-now').textContent = label;
}

/** One dot per request; its height is the duration. */
function latency(recent, now) {
  const times = recent.map(({ line }) => line.duration_ms).sort((a, b) => a - b);
  const median = times[Math.floor(times.length / 2)];
  const slowest = times.at(-1);
  const label = times.length ? `median ${median} ms, slowest ${slowest} ms` : 'no requests';
  const width = frame($('latency'), `Latency of the last two minutes: ${label}`, times.length ? `${slowest} ms` : '');
  for (const { at, line } of recent) {
    const x = width * (1 - (now - at) / WINDOW_S);
    const y = HEIGHT - 4 - (line.duration_ms / slowest || 0) * (HEIGHT - 26);
    $('latency').append(svg('circle', { class: line.decision, cx: x.toFixed(1), cy: y.toFixed(1), r: 3.5 }));
  }
  $('latency-now').textContent = label;
}

// --- the view --------------------------------------------------------------------------------------------------------

export function start() {
  choice($('outcomes'), [['all', 'all'], ...Object.keys(OUTCOMES).map((outcome) => [outcome, outcome])], filter);
  $('filter').addEventListener('input', filter);
  $('pause').addEventListener('click', () => {
    paused = !paused;
    $('pause').setAttribute('aria-pressed', String(paused));
    poll();
  });
  count();
}

export function shown(now) {
  onScreen = now;
  poll();
}
