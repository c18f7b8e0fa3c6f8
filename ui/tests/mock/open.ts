// A browser on the built pages, with the kitchen's stand-in as its server.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';
import { Front } from '../browser/front';
import { KitchenMock } from './kitchen';
import { RESTAURANT_ID } from './orders';

const BROWSER = process.env.DABBA_CHROMIUM ?? '/usr/bin/chromium';
/** Name of this machine that the browser does not trust. */
export const OTHER_HOST = 'kitchen.test';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // A host that is not this one, for pages without a secure context.
  `--host-resolver-rules=MAP ${OTHER_HOST} 127.0.0.1`,
  '--autoplay-policy=document-user-activation-required',
];

export const KITCHEN = `/kitchen/${RESTAURANT_ID}`;

export class Stage {
  readonly #browser: Browser;
  readonly #profile: string;
  readonly front: Front;
  mock = new KitchenMock();
  readonly #contexts = new Set<BrowserContext>();
  readonly #problems: string[] = [];

  private constructor(browser: Browser, front: Front, profile: string) {
    this.#browser = browser;
    this.#profile = profile;
    this.front = front;
    front.intercept = (request, response) => this.mock.intercept(request, response);
  }

  static async open(): Promise<Stage> {
    const profile = mkdtempSync(join(tmpdir(), 'dabba-chromium-'));
    const env = { ...process.env, HOME: profile };
    const browser = await chromium.launch({ executablePath: BROWSER, headless: true, args: FLAGS, env });
    return new Stage(browser, await Front.start('http://127.0.0.1:9'), profile);
  }

  /** Begins with an empty kitchen. */
  reset(seed?: number): KitchenMock {
    this.mock.close();
    this.mock = new KitchenMock(seed);
    return this.mock;
  }

  async page(options: BrowserContextOptions = {}, context?: BrowserContext): Promise<Page> {
    const own =
      context ?? (await this.#browser.newContext({ baseURL: this.front.origin, locale: 'en-GB', viewport: { width: 1180, height: 820 }, ...options }));
    this.#contexts.add(own);
    const page = await own.newPage();
    page.setDefaultTimeout(15_000);
    // Chromium sometimes plays without a gesture, by rules of its own. Here every sound is locked first.
    await page.addInitScript(() => {
      const Unlocked = AudioContext;
      globalThis.AudioContext = class extends Unlocked {
        constructor(options?: AudioContextOptions) {
          super(options);
          void this.suspend();
          Object.defineProperty(this, 'state', { get: () => (this.resumed ? 'running' : 'suspended') });
        }
        private resumed = false;
        override async resume(): Promise<void> {
          await super.resume();
          this.resumed = true;
          this.dispatchEvent(new Event('statechange'));
        }
      };
    });
    page.on('pageerror', (error) => this.#problems.push(`error: ${error.stack ?? error.message}`));
    page.on('console', (message) => {
      // The browser reports refusals that tests provoke, and headers that need a secure context.
      const expected = /^Failed to load resource: |^The Cross-Origin-Opener-Policy header/.test(message.text());
      if (message.type() === 'error' && !expected) this.#problems.push(`console: ${message.text()}`);
    });
    return page;
  }

  /** Opens the board. */
  async board(options: BrowserContextOptions = {}, context?: BrowserContext): Promise<Page> {
    const page = await this.page(options, context);
    await page.goto(KITCHEN);
    await page.getByRole('heading', { name: this.mock.restaurant.name }).waitFor();
    return page;
  }

  /** Closes the pages. Fails if one of them had an error or broke the policy. */
  async check(): Promise<void> {
    for (const context of this.#contexts) await context.close();
    this.#contexts.clear();
    const found = this.#problems.splice(0);
    if (found.length > 0) throw new Error(found.join('\n'));
  }

  async close(): Promise<void> {
    this.mock.close();
    await this.#browser.close();
    await this.front.stop();
    rmSync(this.#profile, { recursive: true, force: true });
  }
}

/** Waits until the page has moved no card for longer than the time in which a tap means an earlier place. */
export const calm = (page: Page) =>
  page.waitForFunction(() => {
    const scope = globalThis as unknown as { place?: number; since?: number };
    const place = document.querySelector('main')?.getBoundingClientRect().top ?? 0;
    if (scope.place !== place) Object.assign(scope, { place, since: performance.now() });
    return performance.now() - (scope.since ?? 0) > 1_000;
  });
