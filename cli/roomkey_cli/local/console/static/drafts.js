// Values of the page that survive a reload, in the tab's session storage. Tokens are never among them.

const PREFIX = 'roomkey.';

/** Return the value saved as `name`, or `fallback`. */
export function load(name, fallback) {
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + name)) ?? fallback;
  } catch {
    return fallback;
  }
}

/** Save `value`; null removes it. */
export function save(name, value) {
  try {
    if (value === null) sessionStorage.removeItem(PREFIX + name);
    else sessionStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // Storage is full or disabled: the page works without drafts.
  }
}
