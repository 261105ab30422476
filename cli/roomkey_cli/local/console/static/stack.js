// The local stack behind this page: requests to it, and events between the views.

/** The stack's address. With --lan it ends in the key of the run. */
export const BASE = new URL('..', import.meta.url).href;

/** Call the console's own API. Throws an `Error` whose message is for people. */
export async function ask(method, name, body) {
  let response;
  try {
    response = await fetch(`${BASE}console/api/${name}`, {
      method,
      headers: { 'X-Roomkey-Console': '1', ...(body && { 'Content-Type': 'application/json' }) },
      body: body && JSON.stringify(body),
    });
  } catch {
    throw new Error('The local stack does not answer. Is it still running?');
  }
  const answer = await response.json().catch(() => ({ error: `The local stack answered ${response.status}.` }));
  if (!response.ok) throw new Error(answer.error ?? answer.message);
  return answer;
}

export const stack = await ask('GET', 'stack');

/** Events between views: `minted` with a token, `inspect` with a token, `why` with a request, `checked`. */
export const events = new EventTarget();

export const emit = (name, detail) => events.dispatchEvent(new CustomEvent(name, { detail }));
