// Switch: the disable flag and the policy, as they are stored and as the function knows them, and a try of the policy.
//
// One look at the state, again and again while this is on the screen, tells all of it: what somebody put from a
// terminal counts as much as what was put here.

import { $, h, clock, span, toast } from './dom.js';
import { ask, stack } from './stack.js';
import * as flag from './flag.js';
import * as policy from './policy.js';
import * as trial from './trial.js';

const LOOK_MS = 500;

let onScreen = false;
let timer;

// --- what is stored, and what bites ----------------------------------------------------------------------------------

/** Both, each with what is stored, and the versions that are waited for and that were seen to bite. */
const WHAT = {
  flag: { place: 'flag-bite', name: 'The flag', form: flag, stored: null, waiting: null, bitten: null },
  policy: { place: 'policy-bite', name: 'The policy', form: policy, stored: null, waiting: null, bitten: null },
};

async function look() {
  clearTimeout(timer);
  try {
    const state = await ask('GET', 'state');
    $('flag-form').inert = false; // What is chosen before it is known what is stored would be lost.
    for (const [key, what] of Object.entries(WHAT)) follow(key, what, state);
  } catch (error) {
    for (const what of Object.values(WHAT)) showBite(what, 'bad', error.message);
  }
  clearTimeout(timer); // Another look may have been under way, and there is to be one next.
  if (onScreen) timer = setTimeout(look, LOOK_MS);
}

function follow(key, what, state) {
  const stored = state[key];
  if (!stored) {
    what.stored = null;
    showBite(what, 'bad', `${what.name} is missing. Nothing is minted without it.`);
    return;
  }
  if (what.stored?.version !== stored.version) {
    what.stored = stored;
    what.form.show(stored.text);
  }
  const { read_at: read, faults } = state.function;
  if (read !== null && read < stored.put_at) {
    what.waiting = stored.version;
    const waited = state.now - stored.put_at;
    const left = Math.max(0, stack.bites_within - waited);
    showBite(
      what,
      '',
      [`Put at ${clock(stored.put_at)}. It bites in `, h('b', {}, `${Math.ceil(left)} s`), ' at the latest.'],
      h('progress', {
        max: String(stack.bites_within),
        value: String(waited),
        'aria-label': `${what.name}: seconds since it was put`,
      }),
    );
  } else if (faults[key]) {
    showBite(what, 'bad', `The function cannot go by it: ${faults[key]}.`);
  } else if (what.waiting === stored.version) {
    what.waiting = null;
    what.bitten = stored.version;
    const took = (read - stored.put_at).toFixed(1);
    showBite(what, 'good', [
      'It bit after ',
      h('b', {}, `${took} s`),
      ` of ${stack.bites_within}: the function read it at ${clock(read)}.`,
    ]);
    toast(`${what.name} bit after ${took} s.`);
  } else if (what.bitten !== stored.version) {
    showBite(what, '', `In force. The function read it ${span(state.now - read)} ago.`);
  }
}

function showBite(what, tone, text, ...more) {
  $(what.place).className = `bite ${tone === 'good' ? 'bitten' : ''} ${tone === 'bad' ? 'broken' : ''}`;
  $(what.place).replaceChildren(h('p', {}, text), ...more);
}

async function put(key, what, text) {
  try {
    const before = what.stored;
    await ask('PUT', key, { text });
    if (what.stored === before) what.form.show(text);
    await look();
  } catch (error) {
    showBite(what, 'bad', error.message);
  }
}

// --- the view --------------------------------------------------------------------------------------------------------

export function start() {
  for (const [key, what] of Object.entries(WHAT)) what.form.lay((text) => put(key, what, text));
  trial.lay();
}

export function shown(now) {
  onScreen = now;
  clearTimeout(timer);
  if (now) look();
}
