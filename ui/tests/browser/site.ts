// A Dabba with its pages and a browser. A test file opens one site; a test opens pages in contexts of its own.
//
//     const site = await openSite();
//     const page = await site.open({ role: 'restaurant', path: `/kitchen/${site.dabba.restaurant_id}` });
//     …
//     await site.check();   // in `afterEach`: no error, nothing outside the policy or the API's description
//     await site.close();   // in `afterAll`
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';
import { startDabba, type Dabba, type DabbaOptions, type Role } from './dabba';
import { Front } from './front';

/** Path of the browser; Debian's chromium. */
const BROWSER = process.env.DABBA_CHROMIUM ?? '/usr/bin/chromium';

/**
 * Name under which the browser finds the site too. Plain HTTP from another host than loopback has no service workers, no Web
 * Locks and no `crypto.randomUUID`.
 */
export const INSECURE_HOST = 'dabba.test';

/** Maximum duration of one wait in a page, in milliseconds. */
export const WAIT = 15_000;

/** Maximum duration of the wait for a page that connects again, in milliseconds: the pause before an attempt is up to ten seconds. */
export const RECONNECTION = 30_000;

export interface OpenOptions {
  /** Signs in with a one-time link first. */
  role?: Role;
  path?: string;
  /** Opens a further tab of an existing context. */
  context?: BrowserContext;
  options?: BrowserContextOptions;
}

export interface Site {
  dabba: Dabba;
  front: Front;
  origin: string;
  open(options: OpenOptions): Promise<Page>;
  /** Creates a one-time link of a role's demo account. */
  createLink(role: Role): Promise<string>;
  /** Fails if a page had an error, broke the policy, or asked for what it must not ask for. Closes the contexts. */
  check(): Promise<void>;
  close(): Promise<void>;
}

/** Messages of the browser about refused requests, and about plain HTTP from another host. Tests provoke both on purpose. */
export const EXPECTED = /^(Failed to load resource: |The Cross-Origin-Opener-Policy header has been ignored)/;

/** Starts a browser with an own profile, and with further arguments. */
export async function launchBrowser(...further: string[]): Promise<{ browser: Browser; close(): Promise<void> }> {
  const profile = mkdtempSync(join(tmpdir(), 'dabba-chromium-'));
  const browser = await chromium.launch({
    executablePath: BROWSER,
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--autoplay-policy=document-user-activation-required',
      `--host-resolver-rules=MAP ${INSECURE_HOST} 127.0.0.1`,
      ...further,
    ],
    env: { ...process.env, HOME: profile },
  });
  return {
    browser,
    async close() {
      await browser.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

export async function openSite(options: DabbaOptions = {}): Promise<Site> {
  const dabba = await startDabba(options);
  const front = await Front.start(dabba.address);
  const { browser, close: closeBrowser } = await launchBrowser();
  const contexts = new Set<BrowserContext>();
  const problems: string[] = [];

  function watch(page: Page): void {
    page.setDefaultTimeout(WAIT);
    page.on('pageerror', (error) => problems.push(`error: ${error.stack ?? error.message}`));
    page.on('console', (message) => {
      if (message.type() === 'error' && !EXPECTED.test(message.text())) problems.push(`console: ${message.text()}`);
    });
    page.on('request', (request) => {
      const url = new URL(request.url());
      const own = [front.origin, front.origin.replace('127.0.0.1', INSECURE_HOST)].includes(url.origin);
      if (!own && !['data:', 'blob:'].includes(url.protocol)) problems.push(`foreign: ${url}`);
    });
  }

  async function createLink(role: Role): Promise<string> {
    const account = await dabba.call<{ id: string }>(role, 'GET', '/v1/accounts/me');
    const path = `/v1/accounts/${account.id}/login-links`;
    return (await dabba.call<{ link_token: string }>('admin', 'POST', path, {})).link_token;
  }

  return {
    dabba,
    front,
    origin: front.origin,
    createLink,
    async open({ role, path = '/', context, options = {} }) {
      const own = context ?? (await browser.newContext({ baseURL: front.origin, locale: 'en-GB', ...options }));
      contexts.add(own);
      const page = await own.newPage();
      watch(page);
      if (role === undefined) {
        await page.goto(path);
      } else {
        await page.goto(`/login#${await createLink(role)}&next=${encodeURIComponent(path)}`);
        await page.waitForURL((url) => url.pathname + url.search === path, { timeout: WAIT });
      }
      return page;
    },
    async check() {
      for (const context of contexts) await context.close();
      contexts.clear();
      const found = [...problems.splice(0), ...front.undescribed.splice(0).map((call) => `not described: ${call}`)];
      if (found.length > 0) throw new Error(found.join('\n'));
    },
    async close() {
      await closeBrowser();
      await front.stop();
      await dabba.stop();
    },
  };
}
