// 100ms's web SDK, as join.js of docs/clients/web.md uses it, up to its first request; prints where that goes and what
// it carries. There is no browser: jsdom has the document, and what it lacks does nothing.
//
//     node join.mjs API ASKS

import { register } from 'node:module';
import { JSDOM } from 'jsdom';

// The SDK's module is for bundlers; Node can load its other build, which does not say what it exports.
const sdk = '@100mslive/hms-video-store';
const module = (text) => `data:text/javascript,${encodeURIComponent(text)}`;
const required = module(`
  import { createRequire } from 'node:module';
  export const { HMSReactiveStore } = createRequire('${import.meta.url}')('${sdk}');
`);
register(module(`
  export const resolve = (name, context, next) =>
    name === '${sdk}' ? { url: ${JSON.stringify(required)}, shortCircuit: true } : next(name, context);
`));

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
window.navigator.mediaDevices = { addEventListener() {}, enumerateDevices: async () => [], getUserMedia: async () => new Idle() };
for (const name of ['window', 'document', 'navigator', 'localStorage', 'HTMLElement', 'HTMLVideoElement', 'Image', ...missing]) {
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

const { join } = await import('./join.js');
await join(api, JSON.parse(asks), 'Ada');
