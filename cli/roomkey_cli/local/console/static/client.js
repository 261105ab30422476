// Requests to the API, as a caller that the stack's access asks for.

import { ask, BASE, stack } from './stack.js';

const ACCESS_TOKEN_MARGIN_S = 300;

const accessTokens = {};

/** Return the callers that can be chosen, as [value, text, title], for a route's access: open, jwt or iam. */
export function callers(access) {
  const anonymous = access === 'open' ? ['anyone', 'Anyone, not signed in'] : ['anonymous', 'Not signed in'];
  if (access === 'iam') return [['key', 'The local IAM key', stack.key.principal], anonymous];
  if (access === 'open') return [anonymous];
  const users = Object.entries(stack.users).map(([name, groups]) => [
    `user:${name}`,
    name,
    `in ${groups.join(' and ')}`,
  ]);
  return [...(users.length ? users : [['bearer', 'A user of your issuer']]), anonymous];
}

/** Return the caller for a chosen value; `bearer` is the access token that was pasted. */
export function callerOf(value, bearer) {
  const [type, name] = value.split(':');
  if (type === 'user') return { type, name, signIn: `${BASE}demo/token` };
  if (type === 'key') return { type, ...stack.key, region: stack.region };
  if (type === 'bearer') return { type, token: bearer };
  return { type: 'anonymous' };
}

async function accessToken({ name, signIn }) {
  const known = accessTokens[name];
  if (known && known.until > Date.now()) return known.token;
  const response = await fetch(signIn, { method: 'POST', body: JSON.stringify({ user: name }) });
  const { access_token: token, expires_in: lifetime } = await response.json();
  accessTokens[name] = { token, until: Date.now() + (lifetime - ACCESS_TOKEN_MARGIN_S) * 1000 };
  return token;
}

/** Send a POST request: `path` begins with a slash, `body` is an object or null. */
export async function send({ path, body, caller }) {
  const text = body ? JSON.stringify(body) : '';
  const headers = body ? { 'Content-Type': 'application/json' } : {};
  if (caller.type === 'user') headers.Authorization = `Bearer ${await accessToken(caller)}`;
  if (caller.type === 'bearer') headers.Authorization = `Bearer ${caller.token}`;
  if (caller.type === 'key') Object.assign(headers, await ask('POST', 'signature', { path, body: text }));
  const begun = performance.now();
  const response = await fetch(BASE + path.slice(1), { method: 'POST', headers, body: body ? text : undefined });
  const answer = await response.json();
  return {
    status: response.status,
    answer,
    took: performance.now() - begun,
    challenge: response.headers.get('www-authenticate'),
  };
}
