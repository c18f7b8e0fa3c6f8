import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { serveFixture } from './fixture';
import { openSite, RECONNECTION, type Site } from './site';
import { haveOneStream, knows, lastState, openStreamTab, type StreamScope } from './stream-tab';

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

const openTab = (context?: BrowserContext) => openStreamTab(site, fixture, context);

const streams = () => site.front.requests.filter((request) => request.endsWith('/stream')).length;

it('tabs share one stream, and the next tab takes over when the leader closes', async () => {
  const orders = [(await site.dabba.placeOrder()).id];
  const first = await openTab();
  await knows(first, orders);
  const second = await openTab(first.context());
  await knows(second, orders);
  const third = await openTab(first.context());
  await knows(third, orders);
  await haveOneStream(site.front);

  orders.push((await site.dabba.placeOrder()).id);
  for (const tab of [first, second, third]) await knows(tab, orders);
  await haveOneStream(site.front);

  await first.close();
  orders.push((await site.dabba.placeOrder()).id);
  for (const tab of [second, third]) await knows(tab, orders);
  await haveOneStream(site.front);
});

it('every tab learns that the connection is lost, and that it is back', async () => {
  const first = await openTab();
  const second = await openTab(first.context());
  for (const tab of [first, second]) await lastState(tab, 'live');
  site.front.disconnect();
  for (const tab of [first, second]) await lastState(tab, 'stale');
  site.front.connect();
  for (const tab of [first, second]) await lastState(tab, 'live', RECONNECTION);
});

/**
 * Returns a function that waits until the second tab has every message that the first one has sent to it. A clock that a test
 * moves does not wait for the messages between the tabs.
 */
async function followMessages(first: Page, second: Page): Promise<() => Promise<void>> {
  const channel = `dabba-stream-${site.dabba.restaurant_id}`;
  for (const tab of [first, second]) {
    await tab.evaluate((name) => {
      const scope = Object.assign(globalThis, { probe: new BroadcastChannel(name), probes: 0 });
      scope.probe.onmessage = ({ data }: MessageEvent<{ kind: string; count: number }>) => {
        if (data.kind === 'probe') scope.probes = data.count;
      };
    }, channel);
  }
  let count = 0;
  return async () => {
    count += 1;
    await first.evaluate((sent) => (globalThis as unknown as { probe: BroadcastChannel }).probe.postMessage({ kind: 'probe', count: sent }), count);
    await second.waitForFunction((sent) => (globalThis as unknown as { probes: number }).probes === sent, count);
  };
}

it('a leader keeps the lead while the server is down', async () => {
  const context = (await site.open({ role: 'restaurant', path: fixture })).context();
  await context.clock.install();
  const first = await openTab(context);
  const second = await openTab(context);
  await lastState(second, 'live');
  const leads = (tab: Page) => tab.evaluate(() => (globalThis as unknown as StreamScope).stream.leader);
  expect(await leads(first)).toBe(true);
  const messagesArrive = await followMessages(first, second);
  site.front.disconnect();
  await lastState(second, 'stale');
  // More than twice the silence after which a tab takes a leader for one that stands still.
  for (let passed = 0; passed < 60; passed += 1) {
    await context.clock.runFor(1_000);
    await messagesArrive();
    expect(await leads(first)).toBe(true);
    expect(await leads(second)).toBe(false);
  }
  site.front.connect();
  for (const tab of [first, second]) await lastState(tab, 'live', RECONNECTION);
});

it('a tab may ask for a new connection although another tab has the stream', async () => {
  const first = await openTab();
  const second = await openTab(first.context());
  await second.waitForFunction(() => (globalThis as unknown as StreamScope).states.at(-1) === 'live');
  const before = streams();
  await second.evaluate(() => (globalThis as unknown as StreamScope).stream.reconnect());
  await expect.poll(streams).toBe(before + 1);
});
