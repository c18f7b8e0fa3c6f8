// The pages that are in the server's binary, without anything between browser and server: the demo's links over plain HTTP, and
// over TLS with HTTP/2.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { fillAddress, fillCart, openCheckout, PHONE, placeButton } from './customer';
import { startDabba, type Dabba } from './dabba';
import { tapAtRest } from './held';
import { waitUntilKept } from './kept';
import { EXPECTED, launchBrowser, WAIT } from './site';

/** Writes a certificate for 127.0.0.1, and returns the arguments of a server with it. */
function makeCertificate(directory: string): string[] {
  const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')];
  const { status, stderr } = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate],
  ]);
  if (status !== 0) throw new Error(`openssl: ${stderr}`);
  return [`--tls-certificate-file=${certificate}`, `--tls-key-file=${key}`];
}

describe.each([
  { name: 'plain HTTP', isEncrypted: false, protocol: 'http/1.1' },
  { name: 'TLS', isEncrypted: true, protocol: 'h2' },
])('over $name', ({ isEncrypted, protocol }) => {
  let directory: string;
  let dabba: Dabba;
  let browser: Browser;
  let close: () => Promise<void>;
  const problems: string[] = [];

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'dabba-binary-'));
    dabba = await startDabba({ settings: isEncrypted ? makeCertificate(directory) : [] });
    ({ browser, close } = await launchBrowser(...(isEncrypted ? ['--ignore-certificate-errors'] : [])));
  });
  afterEach(() => expect(problems.splice(0)).toEqual([]));
  afterAll(async () => {
    await close?.();
    await dabba?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Opens a link in a browser without a session. */
  async function open(link: string, options: BrowserContextOptions = {}): Promise<Page> {
    const context = await browser.newContext({ locale: 'en-GB', ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(WAIT);
    page.on('pageerror', (error) => problems.push(`error: ${error.stack ?? error.message}`));
    page.on('console', (message) => {
      if (message.type() === 'error' && !EXPECTED.test(message.text())) problems.push(`console: ${message.text()}`);
    });
    await page.goto(link);
    return page;
  }

  const path = (page: Page) => new URL(page.url()).pathname;

  it('an order from the ordering page appears everywhere, and stays on the board while the server is down', async () => {
    const board = await open(dabba.login_links.kitchen);
    await board.getByText('Live', { exact: true }).waitFor();
    expect(path(board)).toBe(`/kitchen/${dabba.restaurant_id}`);
    const used = await board.evaluate(() =>
      performance
        .getEntriesByType('resource')
        .concat(performance.getEntriesByType('navigation'))
        .map((entry) => (entry as PerformanceResourceTiming).nextHopProtocol),
    );
    // A file that the service worker answers has no protocol.
    expect([...new Set(used)].filter((name) => name !== '')).toEqual([protocol]);
    const support = await open(dabba.login_links.console);
    await support.getByText('Live', { exact: true }).waitFor();
    expect(path(support)).toBe('/console');

    const customer = await open(dabba.login_links.ordering, { viewport: PHONE });
    await fillCart(customer);
    expect(path(customer)).toBe(`/order/${dabba.restaurant_id}`);
    await openCheckout(customer);
    await fillAddress(customer);
    await placeButton(customer).click();
    await customer.waitForURL(/\/t\/[^/]+$/);
    const card = board.locator('[data-column="new"] [data-code]');
    await card.waitFor();
    expect(await card.count()).toBe(1);
    const code = (await card.getAttribute('data-code')) as string;
    await customer.getByText(code).first().waitFor();
    await support.getByText(code).first().waitFor();

    await tapAtRest(card.getByRole('button', { name: /^Accept/ }));
    await board.locator(`[data-column="preparing"] [data-code="${code}"]`).waitFor();
    await customer.getByRole('heading', { name: 'Being prepared' }).waitFor();

    await waitUntilKept(board, '/kitchen/-');
    await dabba.kill();
    await board.reload();
    await board.locator(`[data-column="preparing"] [data-code="${code}"]`).waitFor();
  });
});
