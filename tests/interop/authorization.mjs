// A real authorization server as a program: oidc-provider, on a port of its own, with keys of its own. The first line of
// its standard input is a plan, `{"alg": "RS256"}`, with a `secret` for HS256; it answers `{"issuer": url}`. Each further
// line asks for a token with any claims at all, `{"claims": {…}, "key": "own" | "foreign"}`; it answers `{"token": jwt}`. The
// foreign key goes by the name of the server's own. It ends when its input does.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { alg, secret } = JSON.parse((await lines.next()).value);
// What it has to say of settings fit for production is not for the one who reads the answers.
console.info = console.warn = () => {};

const kid = 'key-1';
const pair = async (name) => (await generateKeyPair(name, { extractable: true })).privateKey;
const own = secret ? Buffer.from(secret) : await pair(alg);
const foreign = secret ? crypto.getRandomValues(Buffer.alloc(32)) : await pair(alg);
const published = async (key, kid, alg) => ({ ...(await exportJWK(key)), kid, alg, use: 'sig' });
const keys = [];
if (!secret) keys.push(await published(own, kid, alg));
// Clients that say nothing else get ID tokens signed so.
if (alg !== 'RS256') keys.push(await published(await pair('RS256'), 'id', 'RS256'));

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  jwks: { keys },
  // Anybody may sign in, under any name; the pages that ask are the server's own.
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  clientBasedCORS: () => true,
  scopes: ['openid', 'offline_access', 'mcp', 's3:read'],
  pkce: { required: () => true },
  // A client registers with the scopes that it was first told of, and may ask for others later, as with most servers.
  extraClientMetadata: {
    properties: ['may_ask_for_more'],
    validator: (_context, _key, _value, metadata) => {
      metadata.scope = 'mcp s3:read';
    },
  },
  features: {
    devInteractions: { enabled: true },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({
        audience: resource,
        scope: 'mcp s3:read',
        accessTokenFormat: 'jwt',
        accessTokenTTL: 3600,
        jwt: { sign: secret ? { alg, key: own } : { alg } },
      }),
    },
  },
});
server.on('request', provider.callback());
console.log(JSON.stringify({ issuer }));

for await (const line of lines) {
  const { claims, key } = JSON.parse(line);
  const jwt = new SignJWT(claims).setProtectedHeader({ alg, kid, typ: 'at+jwt' });
  const token = await jwt.sign(key === 'own' ? own : foreign);
  console.log(JSON.stringify({ token }));
}
process.exit(0);
