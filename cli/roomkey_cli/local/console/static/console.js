// The page: which view is shown, and whether minting is on.

import { $ } from './dom.js';
import { BASE, stack } from './stack.js';
import * as mint from './mint.js';
import * as activity from './activity.js';
import * as controls from './controls.js';
import * as inspect from './inspect.js';
import * as invites from './invites.js';

const VIEWS = { mint, inspect, invites, controls, activity };
const HEALTH_MS = 2000;

function show() {
  const name = location.hash.slice(1) in VIEWS ? location.hash.slice(1) : 'mint';
  if (location.hash === '#main') return; // The link past the navigation keeps the view.
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
  unknown: ['Kill switch unknown', 'bad'],
};

let answering = true;

/** Poll the public health endpoint for the pill in the corner. */
async function health() {
  const minting = await fetch(`${BASE}v1/health`)
    .then((response) => response.json())
    .then(
      (answer) => answer.minting,
      () => null,
    );
  // A stack that answers again was restarted: its users and audit lines are new.
  if (minting && !answering) location.reload();
  answering = minting !== null;
  const [text, tone] = MINTING[minting] ?? ['Not answering', 'bad'];
  if ($('minting').textContent !== text) $('minting').textContent = text;
  $('minting').dataset.tone = tone;
  setTimeout(health, HEALTH_MS);
}

$('stack-access').textContent = `App tokens: ${stack.access}`;
$('version').textContent = stack.version;
for (const place of document.querySelectorAll('[data-bound]')) place.textContent = stack.in_effect_within;
for (const view of Object.values(VIEWS)) view.start();
addEventListener('hashchange', show);
show();
health();
document.documentElement.dataset.ready = 'true';
