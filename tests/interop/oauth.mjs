// The npm client with its own OAuth flow, as a program: does what the first line of its standard input says, and prints
// one line of what it saw. A plan is `{"mode", "url", "login", "tools": […]}`: connect without a token, sign in as `login`
// when sent to, and call the tools, signing in again when a call asks for it. With `"issuer"` and `"wanted"` (each
// `{"resource", "scope"}`) beside `"login"`, it gets tokens of the plan's choice instead. It judges nothing; tests/it/oauth
// does.
import { createInterface } from 'node:readline';

import {
  Client,
  StreamableHTTPClientTransport,
  UnauthorizedError,
  discoverAuthorizationServerMetadata,
  exchangeAuthorization,
  registerClient,
  startAuthorization,
} from '@modelcontextprotocol/client';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const plan = JSON.parse((await lines.next()).value);

// Nobody listens there: the one who signs in reads the last redirect.
const redirectUrl = 'http://127.0.0.1:1/callback';
const clientMetadata = {
  client_name: 'interop',
  redirect_uris: [redirectUrl],
  grant_types: ['authorization_code'],
  response_types: ['code'],
  token_endpoint_auth_method: 'none',
  application_type: 'native',
};

const cookies = new Map();

// Follows the authorization server's pages as somebody would who signs in as `login` and agrees to everything. Gives
// the parameters that it sends the client back with.
async function signIn(authorizationUrl, login) {
  let request = { url: new URL(authorizationUrl) };
  for (let step = 0; step < 20; step += 1) {
    const { url, form } = request;
    if (String(url).startsWith(redirectUrl)) return url.searchParams;
    const answer = await fetch(url, {
      method: form ? 'POST' : 'GET',
      body: form && new URLSearchParams(form),
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
    });
    for (const cookie of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
      if (value) cookies.set(name, value);
      else cookies.delete(name);
    }
    const text = await answer.text();
    const location = answer.headers.get('location');
    if (location) {
      request = { url: new URL(location, url) };
      continue;
    }
    const action = /<form[^>]* action="([^"]+)"/.exec(text)?.[1];
    const prompt = /name="prompt" value="([^"]+)"/.exec(text)?.[1];
    if (!action || !prompt) throw new Error(`${url.pathname} answers ${answer.status} without a form`);
    request = { url: new URL(action, url), form: { prompt, login, password: 'any' } };
  }
  throw new Error('signing in does not end');
}

// What the client asked of the authorization server each time it sent somebody there.
const asked = [];
// Each answer of the resource to a message that was no success.
const refused = [];
let pending;
let verifier;
let information;
let tokens;
let discovery;
const registered = [];

const authProvider = {
  redirectUrl,
  clientMetadata,
  state: () => crypto.randomUUID(),
  clientInformation: () => information,
  saveClientInformation: (given) => {
    information = given;
    registered.push(given.client_id);
  },
  tokens: () => tokens,
  saveTokens: (given) => {
    tokens = given;
  },
  redirectToAuthorization: (url) => {
    pending = url;
    asked.push(Object.fromEntries(url.searchParams));
  },
  saveCodeVerifier: (given) => {
    verifier = given;
  },
  codeVerifier: () => verifier,
  saveDiscoveryState: (given) => {
    discovery = given;
  },
  discoveryState: () => discovery,
};

const fetched = async (url, init) => {
  const answer = await fetch(url, init);
  if (String(url) === plan.url && init.method === 'POST' && answer.status >= 400) {
    refused.push({ status: answer.status, challenge: answer.headers.get('www-authenticate') });
  }
  return answer;
};

const transport = () => new StreamableHTTPClientTransport(new URL(plan.url), { authProvider, fetch: fetched });

async function signedIn(transport, attempt) {
  try {
    return await attempt(transport);
  } catch (error) {
    if (!UnauthorizedError.isInstance(error) || !pending) throw error;
    const url = pending;
    pending = undefined;
    const parameters = await signIn(url, plan.login);
    if (parameters.get('state') !== url.searchParams.get('state')) throw new Error('another state came back');
    await transport.finishAuth(parameters);
    return undefined;
  }
}

const failure = (error) => ({ kind: error.constructor.name, message: error.message });

async function run() {
  const negotiation = plan.mode === 'auto' ? { versionNegotiation: { mode: 'auto' } } : {};
  const connect = async () => {
    const client = new Client({ name: 'interop', version: '1' }, negotiation);
    const wire = transport();
    const connected = await signedIn(wire, async () => {
      await client.connect(wire);
      return { client, wire };
    });
    return connected;
  };
  const { client, wire } = (await connect()) ?? (await connect());
  const seen = { version: client.getNegotiatedProtocolVersion(), steps: [] };
  for (const name of plan.tools) {
    const call = async () => ({ result: await client.callTool({ name, arguments: {} }) });
    try {
      seen.steps.push((await signedIn(wire, call)) ?? (await call()));
    } catch (error) {
      seen.steps.push({ error: failure(error) });
    }
  }
  await client.close();
  return { seen: { ...seen, asked, refused, registered } };
}

// The same flow with resources and scopes of the plan's choice.
async function obtain() {
  const metadata = await discoverAuthorizationServerMetadata(plan.issuer);
  const clientInformation = await registerClient(plan.issuer, { metadata, clientMetadata });
  const given = [];
  for (const wanted of plan.wanted) given.push(await obtainOne({ metadata, clientInformation }, wanted));
  return { tokens: given };
}

async function obtainOne(known, { resource, scope }) {
  const common = { ...known, resource: new URL(resource) };
  const { authorizationUrl, codeVerifier } = await startAuthorization(plan.issuer, {
    ...common,
    redirectUrl,
    scope,
  });
  const parameters = await signIn(authorizationUrl, plan.login);
  const given = await exchangeAuthorization(plan.issuer, {
    ...common,
    authorizationCode: parameters.get('code'),
    iss: parameters.get('iss'),
    codeVerifier,
    redirectUri: redirectUrl,
  });
  return given.access_token;
}

try {
  console.log(JSON.stringify(await (plan.wanted ? obtain() : run())));
} catch (error) {
  console.log(JSON.stringify({ refused: failure(error), steps: { asked, refused, registered } }));
}
process.exit(0);
