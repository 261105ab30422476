// The stack that this page belongs to: what it is, what the console asks it, and what is known to all views.

/** Asks the console's own side. Throws an `Error` in words for people. */
export async function ask(method, name, body) {
  let response;
  try {
    response = await fetch(`/console/api/${name}`, {
      method,
      headers: { 'X-Roomkey-Console': '1', ...(body && { 'Content-Type': 'application/json' }) },
      body: body && JSON.stringify(body),
    });
  } catch {
    throw new Error('The local stack does not answer. Is it still running?');
  }
  const answer = await response.json().catch(() => ({ error: `The local stack answered ${response.status}.` }));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

export const stack = await ask('GET', 'stack');

/** What happens in one view and matters to another: `minted` with a token, `why` with a request. */
export const events = new EventTarget();

export const tell = (name, detail) => events.dispatchEvent(new CustomEvent(name, { detail }));
