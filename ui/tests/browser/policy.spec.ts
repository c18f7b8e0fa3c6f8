import type { Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { PAGES } from '../../scripts/pages.mjs';
import type { Role } from './dabba';
import { accessibilityProblems } from './accessible';
import { POLICY } from './front';
import { describes } from './operations';
import { INSECURE_HOST, openSite, WAIT, type Site } from './site';

let site: Site;

beforeAll(async () => {
  site = await openSite();
});
afterEach(() => {
  site.front.intercept = () => false;
  site.front.serviceWorkerSuffix = '';
  site.front.serviceWorkerBuild = undefined;
  site.front.connect();
  return site.check();
});
afterAll(() => site.close());

interface Visit {
  /** Address of the page, and who opens it. Without a session, the board and the console would lead to the sign-in page. */
  path: string;
  role?: Role;
  /** What the page shows when it is complete. */
  complete: (page: Page) => Locator;
}

const RESTAURANT = 'RESTAURANT';

const VISITS: Record<string, Visit> = {
  start: { path: '/', complete: (page) => page.getByRole('link', { name: 'Sign in' }) },
  login: { path: '/login', complete: (page) => page.getByLabel('E-mail address') },
  kitchen: { path: `/kitchen/${RESTAURANT}`, role: 'restaurant', complete: (page) => page.getByText('Live', { exact: true }) },
  tracking: { path: '/t/unknown', complete: (page) => page.getByText('This link does not lead to an order') },
  order: { path: `/order/${RESTAURANT}`, complete: (page) => page.getByRole('heading', { level: 3 }).first() },
  console: { path: '/console', role: 'admin', complete: (page) => page.getByText('Live', { exact: true }) },
};

describe.each(PAGES)('the page %s', (name) => {
  it('obeys the policy, and asks for at most six files, all from this server', async () => {
    // `site.check` fails on errors of the console, which include violations of the policy.
    const { role, complete, ...visit } = VISITS[name] as Visit;
    const path = visit.path.replace(RESTAURANT, site.dabba.restaurant_id);
    const page = await site.open(role === undefined ? { path } : { role, path });
    await complete(page).waitFor();
    expect(new URL(page.url()).pathname).toMatch(path);
    const files = await page.evaluate(() =>
      performance
        .getEntriesByType('resource')
        .map((entry) => new URL(entry.name).pathname)
        .filter((path) => !path.startsWith('/v1/') && path !== '/icon.svg'),
    );
    // Without the page itself and its icon, which browsers list only after some redirections.
    expect(files.length + 2, files.join('\n')).toBeLessThanOrEqual(6);
    expect(await page.locator('[style]').count()).toBe(0);
  });
});

describe('plain HTTP from another host', () => {
  it.each(['/', '/login'])('%s works without what browsers give to secure pages only', async (path) => {
    const page = await site.open({ path: site.origin.replace('127.0.0.1', INSECURE_HOST) + path });
    await page.getByRole('heading', { level: 1 }).waitFor();
    expect(await page.evaluate(() => isSecureContext)).toBe(false);
  });
});

describe('an address that is not encoded correctly', () => {
  it.each<[string, Role | undefined, string]>([
    ['/t/%', undefined, 'This link does not lead to an order'],
    ['/order/%', undefined, 'There is no restaurant at this address'],
    ['/kitchen/%', 'restaurant', 'This is not your kitchen'],
  ])('%s leads to a page that says so', async (path, role, text) => {
    const context = (await site.open(role === undefined ? {} : { role })).context();
    const page = await site.open({ context, path });
    await page.getByText(text).waitFor();
  });
});

describe('a page whose language cannot be loaded', () => {
  it('says so in that language, and can be loaded again', async () => {
    const context = (await site.open({ path: '/login', options: { locale: 'ar' } })).context();
    await context.route(/assets\/login-ar-/, (route) => route.abort());
    const page = await site.open({ context, path: '/login' });
    await page.getByText('تعذّر تحميل هذه الصفحة.').waitFor();
    expect(await accessibilityProblems(page, 'no language')).toEqual([]);
    await context.unroute(/assets\/login-ar-/);
    await page.getByRole('button', { name: 'حاول مرة أخرى' }).click();
    await page.getByRole('heading', { level: 1 }).waitFor();
  });
});

describe('the server', () => {
  it('gives its pages the policy with which these tests run', async () => {
    const response = await fetch(`${site.dabba.address}/login`);
    expect(response.headers.get('content-security-policy')).toBe(POLICY);
  });

  it('has the session in its description, so that no stand-in answers for it', () => {
    expect(describes('/v1/session')).toBe(true);
  });
});

describe('the service worker', () => {
  it('keeps pages and their files, and nothing of the API', async () => {
    const page = await site.open({ role: 'restaurant' });
    await page.getByText('This device').waitFor();
    await expect.poll(() => page.evaluate(async () => (await caches.match('/')) !== undefined), { timeout: WAIT }).toBe(true);
    const kept = await page.evaluate(async () => {
      const names = await caches.keys();
      const requests = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
      return requests.flat().map((request) => new URL(request.url).pathname);
    });
    expect(kept).toContain('/');
    expect(kept.filter((path) => path.startsWith('/v1/'))).toEqual([]);
  });

  it('comes from a script URL that only the policy of the pages can create', async () => {
    const page = await site.open({ path: '/login' });
    const refused = await page.evaluate(async () => {
      const text = await navigator.serviceWorker.register('/sw.js').then(String, String);
      return text.split(':')[0];
    });
    expect(refused).toBe('TypeError');
    // The browser reports the refusal, which this test provokes, as an error of the console.
    await expect(site.check()).rejects.toThrow(/TrustedScriptURL/);
  });

  it('offers a new version, and never reloads the page by itself', async () => {
    const page = await site.open({ role: 'restaurant' });
    await page.getByText('This device').waitFor();
    await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
    await page.evaluate(() => Object.assign(globalThis, { loadedOnce: true }));
    site.front.serviceWorkerSuffix = '\n// The next build.';
    await page.evaluate(async () => (await navigator.serviceWorker.ready).update());
    await page.getByText('A new version is ready.').waitFor();
    expect(await page.evaluate(() => 'loadedOnce' in globalThis)).toBe(true);
    await page.getByRole('button', { name: 'Reload' }).click();
    await page.waitForFunction(() => !('loadedOnce' in globalThis));
    await page.getByText('This device').waitFor();
    await page.getByText('A new version is ready.').waitFor({ state: 'detached' });
    site.front.serviceWorkerSuffix = '';
  });

  it('lets every tab change to a new version that another tab has activated', async () => {
    const first = await site.open({ role: 'restaurant' });
    await first.waitForFunction(() => navigator.serviceWorker.controller !== null);
    const second = await site.open({ context: first.context() });
    await second.waitForFunction(() => navigator.serviceWorker.controller !== null);
    await second.evaluate(() => Object.assign(globalThis, { loadedOnce: true }));
    site.front.serviceWorkerSuffix = '\n// The build after that.';
    await first.evaluate(async () => (await navigator.serviceWorker.ready).update());
    for (const page of [first, second]) await page.getByText('A new version is ready.').waitFor();
    const activated = second.evaluate(
      () => new Promise((done) => navigator.serviceWorker.addEventListener('controllerchange', () => done(true))),
    );
    await first.getByRole('button', { name: 'Reload' }).click();
    await activated;
    await first.getByText('A new version is ready.').waitFor({ state: 'detached' });
    expect(await second.evaluate(() => 'loadedOnce' in globalThis)).toBe(true);
    await second.getByRole('button', { name: 'Reload' }).click();
    await second.waitForFunction(() => !('loadedOnce' in globalThis));
    await second.getByText('This device').waitFor();
    site.front.serviceWorkerSuffix = '';
  });

  it('keeps the pages of an older version until the newer one has them', async () => {
    const kitchen = `/kitchen/${site.dabba.restaurant_id}`;
    const board = await site.open({ role: 'restaurant', path: kitchen });
    await board.getByText('Live', { exact: true }).waitFor();
    const page = await site.open({ context: board.context() });
    await page.getByText('This device').waitFor();
    const caches = () =>
      page.evaluate(async () => {
        const names = (await globalThis.caches.keys()).sort();
        const kept = await Promise.all(names.map(async (name) => (await globalThis.caches.open(name)).keys()));
        return Object.fromEntries(names.map((name, index) => [name, kept[index]?.map(({ url }) => new URL(url).pathname)]));
      });
    const complete = (files: string[] = []) => ['/', '/kitchen/-'].every((path) => files.includes(path));
    await expect.poll(async () => Object.values(await caches()).some(complete), { timeout: WAIT }).toBe(true);
    const [old] = Object.keys(await caches());
    await board.close();

    // The version arrives while no page needs it, and takes over when all pages are closed: here, without a reload.
    site.front.serviceWorkerBuild = 'feedfeedfeedfeed';
    await page.evaluate(async () => {
      const registration = await navigator.serviceWorker.ready;
      const changed = new Promise((done) => navigator.serviceWorker.addEventListener('controllerchange', done));
      await registration.update();
      while (registration.waiting === null) await new Promise((done) => setTimeout(done, 50));
      registration.waiting.postMessage({ kind: 'activate' });
      await changed;
    });
    site.front.disconnect();
    await page.reload();
    await page.getByText('You see what this device last knew.').waitFor();
    expect(await page.evaluate(() => document.styleSheets.length)).toBeGreaterThan(0);

    site.front.connect();
    await page.reload();
    await page.getByText('This device').waitFor();
    const next = 'dabba-pages-feedfeedfeedfeed';
    await expect.poll(async () => (await caches())[old ?? '']?.includes('/'), { timeout: WAIT }).toBe(false);
    expect((await caches())[next]).toContain('/');

    // The board was not opened since: its only copy is that of the old version.
    site.front.disconnect();
    await page.goto(kitchen);
    await page.getByText(/Not up to date since/).waitFor();
    site.front.connect();
    await page.reload();
    await page.getByText('Live', { exact: true }).waitFor();
    await expect.poll(async () => Object.keys(await caches()), { timeout: WAIT }).toEqual([next]);
    site.front.disconnect();
    for (const [path, text] of [['/', 'You see what this device last knew.'], [kitchen, /Not up to date since/]] as const) {
      await page.goto(path);
      await page.getByText(text).waitFor();
    }
    site.front.connect();
  });

  it('offers a version that the server reported once, and reloads into it', async () => {
    const page = await site.open({ role: 'admin', path: '/console' });
    await page.getByText('Live', { exact: true }).waitFor();
    await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
    site.front.intercept = async (request, response) => {
      if (request.method !== 'GET' || request.url !== '/v1/session') return false;
      const answer = await fetch(site.dabba.address + request.url, { headers: { cookie: request.headers.cookie ?? '' } });
      const session = (await answer.json()) as { server: { build: string } };
      session.server.build = 'next';
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(session));
      return true;
    };
    // A sign-in in another tab lets the console ask for the session, which names the server's build. The page sends the
    // message itself, because the browser looks for new workers when a tab opens.
    await page.evaluate(() => new BroadcastChannel('dabba-session').postMessage('signed-in'));
    await page.getByText('A new version is ready.').waitFor();
    site.front.serviceWorkerBuild = 'beefbeefbeefbeef';
    await page.evaluate(() => Object.assign(globalThis, { loadedOnce: true }));
    await page.getByRole('button', { name: 'Reload' }).click();
    await page.waitForFunction(() => !('loadedOnce' in globalThis));
    await page.getByText('Live', { exact: true }).waitFor();
    const has = () => page.evaluate(() => caches.has('dabba-pages-beefbeefbeefbeef'));
    await expect.poll(has, { timeout: WAIT }).toBe(true);
    expect(await page.evaluate(async () => (await navigator.serviceWorker.ready).waiting)).toBeNull();
    expect(await page.getByText('A new version is ready.').count()).toBe(0);
  });

  it('leaves a page to the network if the browser has no space, or refuses its storage', async () => {
    for (const names of ['put', 'open,match,keys']) {
      const scope = names === 'put' ? 'Cache' : 'CacheStorage';
      site.front.serviceWorkerSuffix = `
for (const name of '${names}'.split(',')) {
  ${scope}.prototype[name] = () => Promise.reject(new DOMException('full', 'QuotaExceededError'));
}`;
      const page = await site.open({ role: 'restaurant' });
      await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
      await page.reload();
      await page.getByText('This device').waitFor();
    }
    site.front.serviceWorkerSuffix = '';
  });
});
