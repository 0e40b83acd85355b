// Chromium as a program, with a client in a page (page.html) of two origins. To its first line it answers with the
// origins, `{"page", "stranger"}`. The second is a plan, `{"server", "issuer", "login"}`: it lets somebody sign in through
// the page, lets the stranger try what it can with that one's token, and says what each saw.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';

import { chromium } from 'playwright-core';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const answer = (words) => console.log(JSON.stringify(words));
const html = await readFile(new URL('page.html', import.meta.url));

async function origin() {
  const server = createServer((_, response) => response.setHeader('content-type', 'text/html').end(html));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${server.address().port}`;
}

await lines.next();
const own = await origin();
const strange = await origin();
answer({ page: own, stranger: strange });
const { server, issuer, login } = JSON.parse((await lines.next()).value);

// The authorization server does not let pages register; whoever deploys one registers it.
const registration = await fetch(`${issuer}/reg`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ redirect_uris: [`${own}/`], token_endpoint_auth_method: 'none' }),
});
const { client_id: client } = await registration.json();

// It ends with this process: they speak through a pipe.
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  env: { PATH: '/usr/bin:/bin', HOME: tmpdir() },
  args: [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    // Nothing but this machine exists.
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
  ],
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(40_000);
  const seen = async () => JSON.parse(await page.locator('#seen:not(:empty)').textContent());
  await page.goto(`${own}/?${new URLSearchParams({ server, client })}`, { waitUntil: 'commit' });
  // Either the sign-in page, or what went wrong before.
  await page.locator('[name=login], #seen:not(:empty)').waitFor();
  if (await page.locator('[name=login]').count()) {
    await page.fill('[name=login]', login);
    await page.fill('[name=password]', 'any');
    await page.click('[type=submit]');
    await page.locator('[name=prompt][value=consent]').waitFor({ state: 'attached' });
    await page.click('[type=submit]');
  }
  const signedIn = await seen();
  const { token } = signedIn;
  await page.goto(`${strange}/?${new URLSearchParams({ server, token })}`, { waitUntil: 'commit' });
  answer({ page: signedIn, stranger: await seen() });
} finally {
  await browser.close();
}
process.exit(0);
