// Controls: the kill switch and the policy, stored and in effect, and a test of the policy.
//
// One poll of the state feeds all of it, so changes from a terminal show too.

import { $, clock, h, span, toast } from './dom.js';
import * as killSwitch from './kill_switch.js';
import * as policy from './policy.js';
import { ask, stack } from './stack.js';
import * as trial from './trial.js';

const POLL_MS = 500;

let onScreen = false;
let timer;

/** Both, each with what is stored, the version that is waited for and the version that is in effect. */
const CONTROLS = {
  flag: {
    place: 'flag-effect',
    name: 'The kill switch',
    form: killSwitch,
    stored: null,
    waiting: null,
    inEffect: null,
  },
  policy: { place: 'policy-effect', name: 'The policy', form: policy, stored: null, waiting: null, inEffect: null },
};

async function poll() {
  clearTimeout(timer);
  try {
    const state = await ask('GET', 'state');
    $('flag-form').inert = false; // A choice made before the stored value is known would be lost.
    for (const [key, control] of Object.entries(CONTROLS)) follow(key, control, state);
  } catch (error) {
    for (const control of Object.values(CONTROLS)) showEffect(control, 'bad', error.message);
  }
  clearTimeout(timer); // Another poll may have started meanwhile.
  if (onScreen) timer = setTimeout(poll, POLL_MS);
}

function follow(key, control, state) {
  const stored = state[key];
  if (!stored) {
    control.stored = null;
    showEffect(control, 'bad', `${control.name} is missing. Nothing is minted without it.`);
    return;
  }
  if (control.stored?.version !== stored.version) {
    control.stored = stored;
    control.form.show(stored.text);
  }
  const { read_at: read, faults } = state.function;
  const within = stack.in_effect_within;
  if (read !== null && read < stored.changed_at) {
    control.waiting = stored.version;
    const waited = state.now - stored.changed_at;
    const left = Math.max(0, within - waited);
    showEffect(
      control,
      '',
      ['Saved. In effect within ', h('b', {}, `${Math.ceil(left)} s`), '.'],
      h('progress', {
        max: String(within),
        value: String(waited),
        'aria-label': `${control.name}: seconds since it was saved`,
      }),
    );
  } else if (faults[key]) {
    showEffect(control, 'bad', `The function cannot use it: ${faults[key]}.`);
  } else if (control.waiting === stored.version) {
    control.waiting = null;
    control.inEffect = stored.version;
    const took = Math.max(0, read - stored.changed_at).toFixed(0);
    showEffect(control, 'good', ['In effect after ', h('b', {}, `${took} s`), `, at ${clock(read)}.`]);
    toast(`${control.name} is in effect after ${took} s.`);
  } else if (control.inEffect !== stored.version) {
    showEffect(control, '', `In effect. The function read it ${span(state.now - read)} ago.`);
  }
}

function showEffect(control, tone, text, ...more) {
  $(control.place).className = `effect ${tone}`;
  $(control.place).replaceChildren(h('p', {}, text), ...more);
}

async function put(key, control, text) {
  try {
    const before = control.stored;
    await ask('PUT', key, { text });
    if (control.stored === before) control.form.show(text);
    await poll();
  } catch (error) {
    showEffect(control, 'bad', error.message);
  }
}

// --- the view --------------------------------------------------------------------------------------------------------

export function start() {
  for (const [key, control] of Object.entries(CONTROLS)) control.form.lay((text) => put(key, control, text));
  trial.lay();
}

export function shown(now) {
  onScreen = now;
  clearTimeout(timer);
  if (now) poll();
}
