// Join a 100ms room with a token of the stack at API, up to the web SDK's first request, and print that request.
// jsdom stands in for the browser.
//
//     node join.mjs API REQUEST

import { register } from 'node:module';
import { JSDOM } from 'jsdom';

// The SDK's module is for bundlers; Node loads its CommonJS build, which declares no named exports.
const sdk = '@100mslive/hms-video-store';
const module = (text) => `data:text/javascript,${encodeURIComponent(text)}`;
const required = module(`
  import { createRequire } from 'node:module';
  export const { HMSReactiveStore } = createRequire('${import.meta.url}')('${sdk}');
`);
register(
  module(`
  export const resolve = (name, context, next) =>
    name === '${sdk}' ? { url: ${JSON.stringify(required)}, shortCircuit: true } : next(name, context);
`),
);

const [api, asks] = process.argv.slice(2);
const { window } = new JSDOM('', { url: 'http://localhost/' });

class Idle {
  addEventListener() {}
  close() {}
  disconnect() {}
  observe() {}
  postMessage() {}
}

const missing = ['AudioContext', 'MediaStream', 'MediaStreamTrack', 'RTCPeerConnection', 'ResizeObserver', 'Worker'];
for (const name of missing) window[name] ??= Idle;
window.navigator.mediaDevices = {
  addEventListener() {},
  enumerateDevices: async () => [],
  getUserMedia: async () => new Idle(),
};
for (const name of [
  'window',
  'document',
  'navigator',
  'localStorage',
  'HTMLElement',
  'HTMLVideoElement',
  'Image',
  ...missing,
]) {
  Object.defineProperty(globalThis, name, { value: name === 'window' ? window : window[name], configurable: true });
}

const online = globalThis.fetch;
globalThis.fetch = window.fetch = async (url, options) => {
  if (String(url).startsWith(api)) return online(url, options);
  if (String(url).includes('/init')) {
    console.log(JSON.stringify({ url: String(url), authorization: new Headers(options.headers).get('authorization') }));
    process.exit(0);
  }
  throw new TypeError('there is no network here');
};

const { HMSReactiveStore } = await import(sdk);
const { Roomkey } = await import('./dist/index.js');
const { token } = await new Roomkey(api).appToken('100ms', JSON.parse(asks));
await new HMSReactiveStore().getActions().join({ userName: 'Ada', authToken: token });
