// Verify a token with the vendor's JavaScript: VENDOR TOKEN KEY SECRET [USER]. Print "ok", or the reason.
import { StreamVideoClient } from '@stream-io/video-client';
import jsrsasign from 'jsrsasign';
import jsonwebtoken from 'jsonwebtoken';
import { TokenVerifier } from 'livekit-server-sdk';
import { StreamChat } from 'stream-chat';

const [vendor, token, key, secret, user] = process.argv.slice(2);

const verifiers = {
  livekit: () => new TokenVerifier(key, secret).verify(token),
  'stream-chat': async () => {
    jsonwebtoken.verify(token, secret, { algorithms: ['HS256'] });
    await new StreamChat(key).tokenManager.setTokenOrProvider(token, { id: user });
  },
  'stream-video': async () => {
    jsonwebtoken.verify(token, secret, { algorithms: ['HS256'] });
    await new StreamVideoClient(key).streamClient.tokenManager.setTokenOrProvider(token, { id: user }, false);
  },
  // Zoom's sample has no verifier: its signer must give the same token for the same claims.
  'zoom-meeting': () => {
    const [header, claims] = token.split('.').slice(0, 2).map((part) => Buffer.from(part, 'base64url').toString());
    const signed = jsrsasign.KJUR.jws.JWS.sign('HS256', header, claims, secret);
    if (signed !== token) throw new Error('the signer of the sample gives another token');
  },
};

try {
  await verifiers[vendor]();
  console.log('ok');
} catch (error) {
  console.log(`${error.name}: ${error.message}`);
}
process.exit(0);
