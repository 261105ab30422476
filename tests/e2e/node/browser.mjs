// As much of a browser as 100ms's web SDK needs to run in Node: jsdom, and idle objects for what jsdom lacks.

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

export const { HMSReactiveStore } = await import(sdk);
