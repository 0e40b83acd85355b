// The npm client as a program: does what the first line of its standard input says, and prints one line of what it saw.
// It judges nothing; tests/it/interop does. Both lines are described in tests/it/interop/client.rs.
import { createInterface } from 'node:readline';

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const plan = JSON.parse((await lines.next()).value);

const negotiation = {
  legacy: {},
  auto: { versionNegotiation: { mode: 'auto' } },
  pin: { versionNegotiation: { mode: { pin: '2026-07-28' } } },
}[plan.mode];

function transport() {
  const { command, args, env, url, token } = plan;
  if (command) return new StdioClientTransport({ command, args, env });
  return new StreamableHTTPClientTransport(new URL(url), { authProvider: { token: async () => token } });
}

const failure = (error) => ({ kind: error.constructor.name, code: error.code ?? null, message: error.message });

async function perform(client, step) {
  if (step.wait) await lines.next();
  if (step.list) return { tools: (await client.listTools()).tools };
  const progress = [];
  const abort = new AbortController();
  const options = { signal: abort.signal };
  const reported = new Promise((resolve) => {
    if (!step.progress) return;
    options.onprogress = (report) => resolve(progress.push(report));
  });
  const answer = client.callTool({ name: step.call, arguments: step.arguments }, options);
  if (step.cancel) {
    // An answer before the word to cancel ends this step as well.
    Promise.all([lines.next(), reported]).then(() => abort.abort('changed my mind'));
  }
  try {
    return { result: await answer, progress };
  } catch (error) {
    return { error: failure(error), progress };
  }
}

async function run() {
  const client = new Client({ name: 'interop', version: '1' }, negotiation);
  try {
    await client.connect(transport());
  } catch (error) {
    return { refused: failure(error) };
  }
  const seen = {
    era: client.getProtocolEra(),
    version: client.getNegotiatedProtocolVersion(),
    server: client.getServerVersion(),
    steps: [],
  };
  for (const step of plan.steps) seen.steps.push(await perform(client, step));
  await client.close();
  return { seen };
}

console.log(JSON.stringify(await run()));
process.exit(0);
