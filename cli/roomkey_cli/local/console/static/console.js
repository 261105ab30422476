// The page: which view is shown, and whether minting is on.

import { $ } from './dom.js';
import { stack } from './stack.js';
import * as mint from './mint.js';
import * as read from './read.js';
import * as switches from './switch.js';
import * as watch from './watch.js';

const VIEWS = { mint, read, switch: switches, watch };
const HEALTH_MS = 2000;

function show() {
  const name = location.hash.slice(1) in VIEWS ? location.hash.slice(1) : 'mint';
  if (location.hash === '#main') return; // The link past the navigation: the view stays.
  for (const view of Object.keys(VIEWS)) {
    $(view).hidden = view !== name;
    VIEWS[view].shown(view === name);
  }
  for (const link of document.querySelectorAll('nav a')) {
    if (link.hash === `#${name}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  const title = $(`${name}-title`);
  document.title = `${title.textContent} · Roomkey console`;
  if (location.hash) title.focus();
  window.scrollTo(0, 0);
}

const MINTING = {
  on: ['Minting on', 'good'],
  off: ['Minting off', 'bad'],
  'partly-off': ['Minting partly off', 'fair'],
  unknown: ['Switch unknown', 'bad'],
};

let answering = true;

/** What anybody can ask the stack, and what the pill in the corner says. */
async function health() {
  const minting = await fetch('/v1/health')
    .then((response) => response.json())
    .then(
      (answer) => answer.minting,
      () => null,
    );
  // A stack that is back is another one, with other users and an empty trail.
  if (minting && !answering) location.reload();
  answering = minting !== null;
  const [text, tone] = MINTING[minting] ?? ['Not answering', 'bad'];
  if ($('minting').textContent !== text) $('minting').textContent = text;
  $('minting').dataset.tone = tone;
  setTimeout(health, HEALTH_MS);
}

$('stack-access').textContent = `App tokens: ${stack.access}`;
$('version').textContent = stack.version;
for (const place of document.querySelectorAll('[data-bound]')) place.textContent = stack.bites_within;
for (const view of Object.values(VIEWS)) view.start();
addEventListener('hashchange', show);
show();
health();
document.documentElement.dataset.ready = 'true';
