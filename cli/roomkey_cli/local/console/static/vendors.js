// What the roles of each platform mean. A platform without an entry shows its roles without a meaning.

import { stack } from './stack.js';

const MEANINGS = {
  '100ms': { roles: { host: 'speaks, shows and moderates', guest: 'speaks and shows' } },
  videosdk: {
    roles: {
      participant: 'enters, and admits guests',
      moderator: 'enters, mutes and removes others',
      guest: 'asks to enter',
    },
    permissions: { participant: ['allow_join'], moderator: ['allow_join', 'allow_mod'], guest: ['ask_join'] },
  },
  agora: { roles: { publisher: 'speaks and shows', subscriber: 'watches and listens' } },
  'agora-whiteboard': { roles: { admin: 'draws, and manages the room', writer: 'draws', reader: 'watches' } },
  livekit: {
    roles: {
      participant: 'speaks and shows',
      speaker: 'speaks',
      viewer: 'watches',
      moderator: 'mutes and removes others',
      observer: 'watches unseen',
    },
  },
};

/** Return a platform's sample room and user, and what each role means. */
export function samples(platform) {
  const { room_id: room = '', user_id: user = '1234', ...others } = stack.platforms[platform].example;
  return { room, user, others, roles: {}, ...MEANINGS[platform] };
}
