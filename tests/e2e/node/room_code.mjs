// Exchange room codes for tokens with 100ms's web SDK, and print what the app sees and how many requests it took.
//
//     node room_code.mjs '[["http://127.0.0.1:8000/v2/token", "rki1..."], ...]'

import { HMSReactiveStore } from './browser.mjs';

let requests = 0;
const online = globalThis.fetch;
globalThis.fetch = window.fetch = (url, options) => {
  requests += 1;
  return online(url, options);
};

const actions = new HMSReactiveStore().getActions();
const seen = [];
for (const [endpoint, roomCode] of JSON.parse(process.argv[2])) {
  requests = 0;
  try {
    const token = await actions.getAuthTokenByRoomCode({ roomCode, userId: 'ada' }, { endpoint });
    seen.push({ token, requests });
  } catch (error) {
    seen.push({ code: error.code, message: error.description ?? error.message, requests });
  }
}
console.log(JSON.stringify(seen));
process.exit(0);
