import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { openSharedStream as OpenStream, SharedStream } from '../../src/lib/tabs';
import type { StreamEvent } from '../../src/lib/sse-parser';
import { serveFixture } from './fixture';
import { openSite, type Site } from './site';

interface Scope {
  openSharedStream: typeof OpenStream;
  stream: SharedStream;
  /** The ids of the orders that this tab knows; what a page would show. */
  orders: string[];
  states: string[];
}

let site: Site;
let fixture: string;

beforeAll(async () => {
  site = await openSite();
  fixture = await serveFixture(site.front, 'library');
});
afterEach(() => {
  site.front.connect();
  return site.check();
});
afterAll(() => site.close());

async function openTab(context?: BrowserContext): Promise<Page> {
  const page = await site.open({ path: fixture, ...(context === undefined ? { role: 'restaurant' } : { context }) });
  await page.locator('body[data-ready]').waitFor({ state: 'attached' });
  await page.evaluate((restaurant) => {
    const scope = globalThis as unknown as Scope;
    Object.assign(scope, { orders: [], states: [] });
    scope.stream = scope.openSharedStream({
      name: restaurant,
      url: `/v1/events/stream?restaurant=${restaurant}&after=start&types=confirmed`,
      replay: () => scope.orders.map((data): StreamEvent => ({ event: 'replayed', data, id: undefined })),
      onConnect: () => (scope.orders = []),
      onState: (state) => scope.states.push(state.status),
      onMessage: (event) => {
        if (event.event === 'replayed') scope.orders.push(event.data);
        if (event.event !== 'confirmed') return;
        scope.orders.push((JSON.parse(event.data) as { partitionkey: string }).partitionkey);
      },
    });
  }, site.dabba.restaurant_id);
  return page;
}

const knows = (page: Page, orders: string[]) =>
  page.waitForFunction((expected) => {
    const scope = globalThis as unknown as Scope;
    return JSON.stringify(scope.orders) === JSON.stringify(expected);
  }, orders);

/** Silence of 25 s, and a reconnection. */
const SILENCE = { timeout: 40_000 };

const streams = () => site.front.requests.filter((request) => request.endsWith('/stream')).length;

it('tabs share one stream, and the next tab takes over when the leader closes', async () => {
  const orders = [(await site.dabba.placeOrder()).id];
  const before = streams();
  const first = await openTab();
  await knows(first, orders);
  const second = await openTab(first.context());
  await knows(second, orders);
  const third = await openTab(first.context());
  await knows(third, orders);
  expect(streams() - before).toBe(1);

  orders.push((await site.dabba.placeOrder()).id);
  for (const tab of [first, second, third]) await knows(tab, orders);
  expect(streams() - before).toBe(1);

  await first.close();
  orders.push((await site.dabba.placeOrder()).id);
  for (const tab of [second, third]) await knows(tab, orders);
  expect(streams() - before).toBe(2);
});

it('every tab learns that the connection is lost, and that it is back', async () => {
  const first = await openTab();
  const second = await openTab(first.context());
  const last = (page: Page, expected: string) =>
    page.waitForFunction((status) => (globalThis as unknown as Scope).states.at(-1) === status, expected);
  for (const tab of [first, second]) await last(tab, 'live');
  site.front.disconnect();
  for (const tab of [first, second]) await last(tab, 'stale');
  site.front.connect();
  for (const tab of [first, second]) await last(tab, 'live');
});

it('a tab may ask for a new connection although another tab has the stream', async () => {
  const first = await openTab();
  const second = await openTab(first.context());
  await second.waitForFunction(() => (globalThis as unknown as Scope).states.at(-1) === 'live');
  const before = streams();
  await second.evaluate(() => (globalThis as unknown as Scope).stream.reconnect());
  await expect.poll(streams).toBe(before + 1);
});

it('a visible tab takes over from a leader that stands still, which follows once it goes on', async () => {
  const first = await openTab();
  const second = await openTab(first.context());
  const last = (page: Page, expected: string) =>
    page.waitForFunction((status) => (globalThis as unknown as Scope).states.at(-1) === status, expected);
  await last(second, 'live');
  expect(await first.evaluate(() => (globalThis as unknown as Scope).stream.leader)).toBe(true);
  const before = streams();
  const session = await first.context().newCDPSession(first);
  await second.bringToFront();
  // A debugger stops the page as a print dialog does: no script runs, and messages wait in the browser.
  await session.send('Debugger.enable');
  const stopped = new Promise((done) => session.once('Debugger.paused', done));
  await session.send('Debugger.pause');
  await stopped;
  // The new stream may be live at once, so the state in between is short.
  await second.waitForFunction(
    () => (globalThis as unknown as Scope).states.slice(-2).join() === 'stale,live',
    undefined,
    SILENCE,
  );
  expect(await second.evaluate(() => (globalThis as unknown as Scope).stream.leader)).toBe(true);
  expect(streams() - before).toBe(1);
  const order = (await site.dabba.placeOrder()).id;
  const learns = (page: Page) =>
    page.waitForFunction((id) => (globalThis as unknown as Scope).orders.at(-1) === id, order);
  await learns(second);

  await session.send('Debugger.resume');
  await learns(first);
  await last(first, 'live');
  expect(await first.evaluate(() => (globalThis as unknown as Scope).stream.leader)).toBe(false);
  const orders = await second.evaluate(() => (globalThis as unknown as Scope).orders);
  await knows(first, orders);
  expect(streams() - before).toBe(1);
}, 120_000);
