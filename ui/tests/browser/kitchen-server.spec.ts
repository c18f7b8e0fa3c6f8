// Repeats tests of `kitchen-board.spec.ts` with the real server instead of its stand-in, because kitchens get the snapshots,
// times, texts and heartbeats of the real server.
import type { BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { accessibilityProblems, smallTargets } from './accessible';
import { holdOutbox, tapAtRest } from './held';
import { waitUntilKept } from './kept';
import { openSite, RECONNECTION, WAIT, type Site } from './site';

/** Minimum size of a target on the board, in pixels. */
const TARGET = 56;
const TABLET = { width: 1180, height: 820 };

let site: Site;
let path: string;

beforeAll(async () => {
  site = await openSite();
  path = `/kitchen/${site.dabba.restaurant_id}`;
});
afterEach(async () => {
  site.front.connect();
  for (const order of open.splice(0)) await end(order);
  await site.check();
});
afterAll(() => site.close());

interface Placed {
  id: string;
  display_code: string;
  status: string;
  placed_at: string;
  acceptance_deadline: string;
}

/** The orders of the test that is running. */
const open: Placed[] = [];

async function place(changes: Record<string, unknown> = {}): Promise<Placed> {
  const { id } = await site.dabba.placeOrder({ payment_method: 'cash', fulfilment: { type: 'collection' }, ...changes });
  const order = await read(id);
  open.push(order);
  return order;
}
const read = (id: string) => site.dabba.call<Placed>('restaurant', 'GET', `/v1/orders/${id}`);
const act = (order: Placed, command: string, body?: unknown) =>
  site.dabba.call<Placed>('restaurant', 'POST', `/v1/orders/${order.id}/${command}`, body);

async function end(order: Placed): Promise<void> {
  const { status } = await read(order.id);
  if (status === 'confirmed') await act(order, 'reject', { reason: 'other' });
  else if (['preparing', 'ready_for_pickup'].includes(status)) await act(order, 'cancel', { reason: 'other' });
}

async function openBoard(options: BrowserContextOptions = {}, live = 'Live'): Promise<Page> {
  const page = await site.open({ role: 'restaurant', path, options: { viewport: TABLET, ...options } });
  await page.getByText(live, { exact: true }).waitFor();
  return page;
}

const card = (page: Page, order: Placed) => page.locator(`[data-code="${order.display_code}"]`);
const inColumn = (page: Page, name: string, order: Placed) =>
  page.locator(`[data-column="${name}"] [data-code="${order.display_code}"]`);

describe('eight tabs', () => {
  it('share one stream over HTTP/1.1, which allows six connections, and each can give commands', async () => {
    const first = await openBoard();
    const tabs = [first];
    while (tabs.length < 8) {
      const tab = await site.open({ context: first.context(), path });
      await tab.getByText('Live', { exact: true }).waitFor();
      tabs.push(tab);
    }
    const order = await place();
    for (const tab of tabs) await inColumn(tab, 'new', order).waitFor();
    await expect.poll(() => site.front.streams).toBe(1);
    const last = tabs.at(-1) as Page;
    await tapAtRest(card(last, order).getByRole('button', { name: /^Accept/ }));
    for (const tab of tabs) await inColumn(tab, 'preparing', order).waitFor();
    await first.close();
    const next = await place();
    for (const tab of tabs.slice(1)) await inColumn(tab, 'new', next).waitFor();
    await expect.poll(() => site.front.streams).toBe(1);
  });
});

describe('a device', () => {
  it.each([-7_200_000, 7_200_000])('whose clock is wrong by %i ms, in another zone, shows the server’s time and the restaurant’s', async (wrong) => {
    const order = await place();
    const page = await site.open({ role: 'restaurant', path, options: { viewport: TABLET, timezoneId: 'Asia/Tokyo' } });
    await page.clock.setFixedTime(Date.now() + wrong);
    await page.reload();
    const timer = card(page, order).getByRole('timer');
    await timer.waitFor();
    const { now } = await site.dabba.call<{ now: string }>('admin', 'GET', '/v1/sandbox/clock');
    const left = (Date.parse(order.acceptance_deadline) - Date.parse(now)) / 1_000;
    const shown = async () => {
      const [minutes = '', seconds = ''] = ((await timer.textContent()) ?? '').replace(/[^\d:]/g, '').split(':');
      return Number(minutes) * 60 + Number(seconds);
    };
    // The device's clock is wrong by two hours; the rest is the time that the test takes.
    await expect.poll(async () => Math.abs((await shown()) - left)).toBeLessThan(60);
    const format = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', timeZone: 'Europe/London' });
    await card(page, order).getByText(`Placed ${format.format(new Date(order.placed_at))}`, { exact: true }).waitFor();
  });

  it('that gets another name is known by it at once', async () => {
    const page = await openBoard();
    const names = async () => {
      const list = await site.dabba.call<{ boards: { device?: string; connected: boolean }[] }>('admin', 'GET', `/v1/restaurants/${site.dabba.restaurant_id}/boards`);
      return list.boards.filter(({ connected }) => connected).map(({ device }) => device);
    };
    // Until a person gives it a name, it has that of its browser and system.
    await expect.poll(names, { timeout: WAIT }).toContain('Chrome on Linux');
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByLabel('Device name').fill('Tablet at the pass');
    await page.keyboard.press('Tab');
    await expect.poll(names, { timeout: WAIT }).toContain('Tablet at the pass');
  });

  it('without a network shows the last orders, also after a reload, and catches up', async () => {
    const [kept, ended] = [await place(), await place()];
    const page = await openBoard();
    for (const order of [kept, ended]) await card(page, order).waitFor();
    // The dialogs are a file that the page requests by itself.
    await page.waitForFunction(() => performance.getEntriesByType('resource').some(({ name }) => name.includes('/assets/kitchen-later-')));
    await waitUntilKept(page, '/kitchen/-');
    site.front.disconnect();
    await page.reload();
    for (const order of [kept, ended]) await card(page, order).waitFor();
    await page.getByText(/Not up to date since/).waitFor();
    // The dialogs are there too.
    await page.getByRole('button', { name: 'Help' }).click();
    await page.getByRole('dialog', { name: 'Keys and help' }).waitFor();
    await page.keyboard.press('Escape');
    await act(ended, 'reject', { reason: 'other' });
    const missed = await place();
    site.front.connect();
    await inColumn(page, 'new', missed).waitFor({ timeout: RECONNECTION });
    await card(page, ended).waitFor({ state: 'detached' });
    await card(page, kept).waitFor();
  });
});

describe('an admin', () => {
  it('sees the orders, reads that they are read-only, and finds the way to the console', async () => {
    const [fresh, cooking] = [await place(), await place()];
    await act(cooking, 'accept', { preparation_minutes: 20 });
    const page = await site.open({ role: 'admin', path, options: { viewport: TABLET } });
    await page.getByText('You only see the orders here.', { exact: false }).waitFor();
    for (const order of [fresh, cooking]) {
      await card(page, order).waitFor();
      // Only the details: the server would refuse every other command.
      expect(await card(page, order).getByRole('button').count()).toBe(1);
      await tapAtRest(card(page, order).getByRole('button', { name: /^More for/ }));
      const dialog = page.getByRole('dialog');
      expect(await dialog.getByRole('link', { name: 'Open in the console' }).getAttribute('href')).toBe(`/console/orders/${order.id}`);
      expect(await dialog.getByRole('button', { name: /Reject|Cancel|unavailable/ }).count()).toBe(0);
      await page.keyboard.press('Escape');
      await dialog.waitFor({ state: 'detached' });
      await card(page, order).focus();
      await page.keyboard.press('u');
      expect(await page.getByRole('dialog').count()).toBe(0);
    }
    // Nothing rings for an admin, so nothing asks for a tap.
    expect(await page.getByText('The sound is off.').count()).toBe(0);
    expect(await accessibilityProblems(page, 'read-only')).toEqual([]);
    await page.getByRole('link', { name: 'To the console' }).click();
    await page.waitForURL((url) => url.pathname === `/console/restaurants/${site.dabba.restaurant_id}`);
    await page.getByRole('heading', { name: 'Saffron Lane' }).waitFor();
  });
});

describe('the board is accessible', () => {
  it.each([
    ['en-GB', TABLET, 'Live'],
    ['ar', TABLET, 'مباشر'],
    ['hi-IN', { width: 390, height: 844 }, 'लाइव'],
  ])('in every appearance, in %s', async (locale, viewport, live) => {
    const [cooking, ready] = [await place(), await place()];
    await place({ note: 'No onions, please' });
    for (const order of [cooking, ready]) await act(order, 'accept', { preparation_minutes: 20 });
    await act(ready, 'ready');
    const page = await openBoard({ locale, viewport }, live);
    await page.locator('[data-card]').first().waitFor();
    expect(await page.evaluate(() => document.documentElement.dir)).toBe(locale === 'ar' ? 'rtl' : 'ltr');
    expect(await accessibilityProblems(page, locale)).toEqual([]);
    expect(await smallTargets(page, TARGET)).toEqual([]);
    await tapAtRest(page.locator('[data-card] [data-key="o"]').first());
    await page.getByRole('dialog').waitFor();
    expect(await accessibilityProblems(page, `${locale}, details`)).toEqual([]);
  });
});

describe('a ticket', () => {
  it.each([
    ['80', 227],
    ['58', 164],
  ])('on %s mm is printed on accept, and alone', async (width, points) => {
    const order = await place({ note: 'No onions, please' });
    const page = await openBoard();
    await page.evaluate(() => {
      Object.assign(globalThis, { printed: 0 });
      // The dialog stays open: the page ends the job with the event after it.
      globalThis.print = () => void ((globalThis as unknown as { printed: number }).printed += 1);
    });
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByLabel(`${width} mm`).check();
    await page.getByLabel('Print when an order is accepted').check();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await tapAtRest(card(page, order).getByRole('button', { name: /^Accept/ }));
    await page.waitForFunction(() => (globalThis as unknown as { printed: number }).printed === 1);
    const ticket = page.locator('[data-ticket]');
    for (const text of [order.display_code, 'No onions, please', 'Saffron Lane', '×']) {
      expect(await ticket.textContent()).toContain(text);
    }
    await page.emulateMedia({ media: 'print' });
    expect(await ticket.isVisible()).toBe(true);
    expect(await page.locator('main').isVisible()).toBe(false);
    const pdf = (await page.pdf({ preferCSSPageSize: true })).toString('latin1');
    const boxes = [...pdf.matchAll(/\/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)/g)];
    expect(boxes.map((box) => Math.round(Number(box[1])))).toEqual([points]);
    await page.evaluate(() => dispatchEvent(new Event('afterprint')));
    await ticket.waitFor({ state: 'detached' });
  });
});

describe('by keyboard alone', () => {
  it('an order is found, accepted with another time, made ready, taken back and handed over', async () => {
    const order = await place();
    const page = await openBoard();
    await card(page, order).waitFor();
    const focus = () =>
      page.waitForFunction((code) => (document.activeElement as HTMLElement | null)?.dataset['code'] === code, order.display_code);
    await page.keyboard.press('/');
    await page.waitForFunction(() => document.activeElement?.matches('input[type=search]') === true);
    await page.keyboard.type(order.display_code.toLowerCase(), { delay: 100 });
    await page.keyboard.press('Escape');
    await focus();
    await page.keyboard.press('+');
    await card(page, order).getByText('25 min').waitFor();
    await page.keyboard.press('a');
    await inColumn(page, 'preparing', order).waitFor();
    // The next command is taken back before it is sent.
    const { id: account } = await site.dabba.call<{ id: string }>('restaurant', 'GET', '/v1/accounts/me');
    const release = await holdOutbox(await site.open({ context: page.context() }), site.front, account);
    await page.reload();
    await inColumn(page, 'preparing', order).waitFor();
    await page.keyboard.press('2');
    await focus();
    await page.keyboard.press('d');
    await page.getByRole('button', { name: /^Undo/ }).waitFor();
    await page.keyboard.press('z');
    await page.getByText('Taken back.').waitFor();
    await card(page, order).getByRole('button', { name: /^Ready/ }).waitFor();
    await release();
    expect((await read(order.id)).status).toBe('preparing');
    // The focus has stayed on the card.
    await focus();
    await page.keyboard.press('d');
    await inColumn(page, 'ready', order).waitFor();
    await page.keyboard.press('3');
    await focus();
    await page.keyboard.press('d');
    await card(page, order).waitFor({ state: 'detached' });
    expect((await read(order.id)).status).toBe('delivered');
    const { events } = await site.dabba.call<{ events: { type: string }[] }>('admin', 'GET', `/v1/orders/${order.id}/events`);
    const steps = events.map(({ type }) => type).filter((type) => ['accepted', 'marked_ready', 'delivered'].includes(type));
    expect(steps).toEqual(['accepted', 'marked_ready', 'delivered']);
  });
});
