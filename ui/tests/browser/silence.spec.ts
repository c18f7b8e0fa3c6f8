// What takes half a minute: silence. These tests wait at the same time, each with a server and a browser of its own.
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { Stage } from '../mock/open';
import { serveFixture } from './fixture';
import { openSite, type Site } from './site';
import { haveOneStream, knows, lastState, openStreamTab, type StreamScope } from './stream-tab';

/** Time within which a board must be marked as stale, and by which a busy machine may be later, in milliseconds. */
const LIMIT = 27_000 + 5_000;

const isStale = (page: Page) => page.getByText(/^Not up to date since/);
const isLive = (page: Page) => page.getByText('Live', { exact: true });

async function withSite(test: (site: Site) => Promise<void>): Promise<void> {
  const site = await openSite();
  try {
    await test(site);
    await site.check();
  } finally {
    await site.close();
  }
}

describe.concurrent('silence', { timeout: 180_000 }, () => {
  it('of a server that is stopped marks the board as stale within 27 seconds', () =>
    withSite(async (site) => {
      const page = await site.open({ role: 'restaurant', path: `/kitchen/${site.dabba.restaurant_id}` });
      await isLive(page).waitFor();
      site.dabba.pause();
      try {
        // The last message came before the server was stopped.
        await isStale(page).waitFor({ timeout: LIMIT });
      } finally {
        site.dabba.resume();
      }
      await isLive(page).waitFor({ timeout: LIMIT });
    }));

  it('of an open connection makes the board reconnect', async () => {
    const stage = await Stage.open();
    try {
      stage.mock.place();
      const page = await stage.board();
      await isLive(page).waitFor();
      stage.mock.silent = true;
      await isStale(page).waitFor({ timeout: LIMIT });
      stage.mock.silent = false;
      await isLive(page).waitFor({ timeout: LIMIT });
      await isStale(page).waitFor({ state: 'detached' });
      await stage.check();
    } finally {
      await stage.close();
    }
  });

  it('of a leader that stands still lets a visible tab take over, and the leader follows once it goes on', () =>
    withSite(async (site) => {
      const fixture = await serveFixture(site.front, 'library');
      const first = await openStreamTab(site, fixture);
      const second = await openStreamTab(site, fixture, first.context());
      await lastState(second, 'live');
      expect(await first.evaluate(() => (globalThis as unknown as StreamScope).stream.leader)).toBe(true);
      const session = await first.context().newCDPSession(first);
      await second.bringToFront();
      // A debugger stops the page as a print dialog does: no script runs, and messages wait in the browser.
      await session.send('Debugger.enable');
      const stopped = new Promise((done) => session.once('Debugger.paused', done));
      await session.send('Debugger.pause');
      await stopped;
      // The new stream may be live at once, so the state in between is short. A first connection that fails adds states.
      await second.waitForFunction(
        () => (globalThis as unknown as StreamScope).states.join().includes('stale,live'),
        undefined,
        { timeout: LIMIT },
      );
      expect(await second.evaluate(() => (globalThis as unknown as StreamScope).stream.leader)).toBe(true);
      const order = (await site.dabba.placeOrder()).id;
      const learns = (page: Page) =>
        page.waitForFunction((id) => (globalThis as unknown as StreamScope).orders.at(-1) === id, order);
      await learns(second);

      await session.send('Debugger.resume');
      await learns(first);
      await lastState(first, 'live');
      expect(await first.evaluate(() => (globalThis as unknown as StreamScope).stream.leader)).toBe(false);
      const orders = await second.evaluate(() => (globalThis as unknown as StreamScope).orders);
      await knows(first, orders);
      await haveOneStream(site.front);
      expect(await second.evaluate(() => (globalThis as unknown as StreamScope).stream.leader)).toBe(true);
    }));
});
