// Sample values and the meaning of roles, by platform. A platform without an entry gets the defaults.

const SAMPLES = {
  '100ms': {
    room: '633fcdd84208780bf665346a',
    roles: { host: 'speaks, shows and moderates', guest: 'speaks and shows' },
  },
  videosdk: {
    room: 'bmej-gdmc-dchc',
    roles: {
      participant: 'enters, and admits guests',
      moderator: 'enters, mutes and removes others',
      guest: 'asks to enter',
    },
    permissions: { participant: ['allow_join'], moderator: ['allow_join', 'allow_mod'], guest: ['ask_join'] },
  },
  agora: {
    room: 'class-7b',
    roles: { publisher: 'speaks and shows', subscriber: 'watches and listens' },
  },
  'agora-whiteboard': {
    room: '534c08ca3f52a55f27bb471e3eccb305',
    roles: { admin: 'draws, and manages the room', writer: 'draws', reader: 'watches' },
  },
};

/** Return the sample room and user, and what each role means. */
export const samples = (platform) => ({ room: 'room-1', user: '1234', roles: {}, ...SAMPLES[platform] });
