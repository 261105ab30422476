// What each platform's people would write into a first request, and what its roles mean.

export const VENDORS = {
  '100ms': {
    room: '633fcdd84208780bf665346a',
    user: '1234',
    roles: { host: 'speaks, shows and moderates', guest: 'speaks and shows' },
    ownRoles: 'any role of the room’s template',
  },
  videosdk: {
    room: 'bmej-gdmc-dchc',
    user: '1234',
    roles: {
      participant: 'enters, and lets guests in',
      moderator: 'enters, mutes and removes others',
      guest: 'knocks, and is let in',
    },
    permissions: { participant: ['allow_join'], moderator: ['allow_join', 'allow_mod'], guest: ['ask_join'] },
  },
  agora: {
    room: 'class-7b',
    user: '1234',
    roles: { publisher: 'speaks and shows', subscriber: 'watches and listens' },
  },
  'agora-whiteboard': {
    room: '534c08ca3f52a55f27bb471e3eccb305',
    roles: { admin: 'draws, and manages the room', writer: 'draws', reader: 'watches' },
  },
};
