// Join a 100ms room with a token of the stack at API, up to the web SDK's first request, and print that request.
//
//     node join.mjs API REQUEST

import { HMSReactiveStore } from './browser.mjs';

const [api, asks] = process.argv.slice(2);
const online = globalThis.fetch;
globalThis.fetch = window.fetch = async (url, options) => {
  if (String(url).startsWith(api)) return online(url, options);
  if (String(url).includes('/init')) {
    console.log(JSON.stringify({ url: String(url), authorization: new Headers(options.headers).get('authorization') }));
    process.exit(0);
  }
  throw new TypeError('there is no network here');
};

const { Roomkey } = await import('roomkey-client');
const { token } = await new Roomkey(api).appToken('100ms', JSON.parse(asks));
await new HMSReactiveStore().getActions().join({ userName: 'Ada', authToken: token });
