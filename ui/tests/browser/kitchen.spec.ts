// The board and the real server: orders that arrive, commands that arrive once, and everything that can fail between them.
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { holdOutbox, tapAtRest } from './held';
import { waitUntilKept } from './kept';
import { watchFor } from './seen';
import { openSite, RECONNECTION, WAIT, type Site } from './site';

/**
 * Time within which an order must be shown, in milliseconds. The limit is 300 ms; the factor is for a busy machine with a
 * browser. Without the message, the next heartbeat would repair the board only after up to 10 s.
 */
const AT_ONCE = 10 * 300;

let site: Site;
let path: string;

beforeAll(async () => {
  site = await openSite();
  path = `/kitchen/${site.dabba.restaurant_id}`;
});
afterEach(() => {
  site.front.connect();
  return site.check();
});
afterAll(() => site.close());

interface Placed {
  id: string;
  display_code: string;
  status: string;
  version: number;
}

/** An order that its customer collects, paid in cash. */
const place = (changes: Record<string, unknown> = {}) =>
  site.dabba.placeOrder({ payment_method: 'cash', fulfilment: { type: 'collection' }, ...changes }) as Promise<Placed>;
const read = (order: Placed) => site.dabba.call<Placed>('restaurant', 'GET', `/v1/orders/${order.id}`);
const act = (order: Placed, command: string, body?: unknown) =>
  site.dabba.call<Placed>('restaurant', 'POST', `/v1/orders/${order.id}/${command}`, body);
const advance = (seconds: number) => site.dabba.call('admin', 'POST', '/v1/sandbox/clock/advance', { seconds });

async function events(order: Placed): Promise<string[]> {
  const page = await site.dabba.call<{ events: { type: string }[] }>('admin', 'GET', `/v1/orders/${order.id}/events`);
  return page.events.map((event) => event.type);
}

async function openBoard(context?: BrowserContext): Promise<Page> {
  const page = await site.open(context === undefined ? { role: 'restaurant', path } : { context, path });
  await page.getByText('Live', { exact: true }).waitFor();
  return page;
}

/** Keeps the boards of a new or a known context from sending commands, as `held.ts` describes. */
async function hold(context?: BrowserContext) {
  const tab = await site.open(context === undefined ? { role: 'restaurant' } : { context });
  const { id } = await site.dabba.call<{ id: string }>('restaurant', 'GET', '/v1/accounts/me');
  return { context: tab.context(), release: await holdOutbox(tab, site.front, id) };
}

const card = (page: Page, order: Placed) => page.locator(`[data-code="${order.display_code}"]`);
const inColumn = (page: Page, name: string, order: Placed) =>
  page.locator(`[data-column="${name}"] [data-code="${order.display_code}"]`);
const tap = (page: Page, order: Placed, name: RegExp) => tapAtRest(card(page, order).getByRole('button', { name }));

async function settled(order: Placed, status: string): Promise<void> {
  const end = Date.now() + 20_000;
  while ((await read(order)).status !== status) {
    if (Date.now() > end) throw new Error(`Order ${order.id} is not ${status}: ${(await read(order)).status}`);
  }
}

describe('an order', () => {
  it('is on the board at once, and leads to the customer', async () => {
    const page = await openBoard();
    const order = await place();
    await inColumn(page, 'new', order).waitFor({ timeout: AT_ONCE });
    await tap(page, order, /^Accept/);
    await inColumn(page, 'preparing', order).waitFor();
    await tap(page, order, /^Ready/);
    await inColumn(page, 'ready', order).waitFor();
    await tap(page, order, /^Handed over/);
    await card(page, order).waitFor({ state: 'detached' });
    expect((await read(order)).status).toBe('delivered');
    await page.getByRole('button', { name: 'Recall' }).click();
    await page.getByRole('dialog').getByText(order.display_code).first().waitFor();
  });

  it('is rejected with a reason, and undone before that', async () => {
    const { context, release } = await hold();
    const page = await openBoard(context);
    const order = await place();
    await tap(page, order, /^Reject/);
    await page.getByLabel('Too busy').check();
    await page.getByRole('button', { name: 'Reject order' }).click();
    await tapAtRest(card(page, order).getByRole('button', { name: /^Undo/ }));
    await card(page, order).getByRole('button', { name: /^Reject/ }).waitFor();
    await release();
    expect((await read(order)).status).toBe('confirmed');
    await tap(page, order, /^Reject/);
    await page.getByLabel('Too busy').check();
    await page.getByRole('button', { name: 'Reject order' }).click();
    await card(page, order).waitFor({ state: 'detached' });
    expect(await read(order)).toMatchObject({ status: 'cancelled', closure: { how: 'rejected', reason: 'too_busy' } });
  });

  it('that misses an item switches it off', async () => {
    const page = await openBoard();
    const order = await place();
    const line = await card(page, order).locator('.name').first().innerText();
    await tap(page, order, /^Reject/);
    await page.getByLabel('Item unavailable').check();
    await page.getByRole('dialog').getByLabel(line).check();
    await page.getByLabel('Rest of the day').check();
    await page.getByRole('button', { name: 'Reject order' }).click();
    await card(page, order).waitFor({ state: 'detached' });
    await page.reload();
    await page.getByRole('button', { name: 'Items' }).click();
    await page.getByRole('dialog').getByText(/Off until/).waitFor();
    await page.getByRole('button', { name: `Switch on, ${line}` }).click();
    await page.getByText('Sending …').waitFor({ state: 'detached' });
    await page.reload();
    await page.getByRole('button', { name: 'Items' }).click();
    await page.getByRole('dialog').getByText(line).waitFor();
    // The outbox may send the command only after the page is loaded again.
    await page.getByRole('dialog').getByText(/Off until/).waitFor({ state: 'detached' });
  });

  it('is accepted once by a double tap', async () => {
    const page = await openBoard();
    const order = await place();
    await tapAtRest(card(page, order).getByRole('button', { name: /^Accept/ }), 'dblclick');
    await inColumn(page, 'preparing', order).waitFor();
    expect((await events(order)).filter((type) => type === 'accepted')).toEqual(['accepted']);
    await act(order, 'cancel', { reason: 'other' });
  });

  it('accepted by two boards is no error on the second', async () => {
    const holds = [await hold(), await hold()] as const;
    const [first, second] = [await openBoard(holds[0].context), await openBoard(holds[1].context)];
    const order = await place();
    const refused = await Promise.all([first, second].map((page) => watchFor(page, 'was not accepted')));
    await tapAtRest(card(second, order).getByRole('button', { name: 'More', exact: true }));
    await tap(first, order, /^Accept/);
    await tap(second, order, /^Accept/);
    // Either command may arrive first; the board of the other one explains what happened.
    const elsewhere = `Order ${order.display_code} was accepted on another device.`;
    const explained = Promise.any([first, second].map((page) => page.getByText(elsewhere).waitFor({ timeout: 2 * WAIT })));
    for (const page of [first, second]) await card(page, order).getByRole('button', { name: /^Undo/ }).waitFor();
    for (const { release } of holds) await release();
    await explained;
    for (const page of [first, second]) await inColumn(page, 'preparing', order).waitFor();
    expect(await Promise.all(refused.map((shown) => shown()))).toEqual([false, false]);
    expect((await events(order)).filter((type) => type === 'accepted')).toEqual(['accepted']);
    await act(order, 'cancel', { reason: 'other' });
  });

  it('that its customer cancels stops the kitchen', async () => {
    const page = await openBoard();
    const order = await place();
    await card(page, order).waitFor();
    await site.dabba.call('customer', 'POST', `/v1/orders/${order.id}/cancel`, { reason: 'changed_mind' });
    await page.getByText(`Order ${order.display_code}: the customer cancelled.`).waitFor();
  });

  it('runs no script that its texts contain', async () => {
    const evil = '<img src=x onerror="globalThis.hacked=1">';
    const page = await openBoard();
    const order = await place({ note: evil, contact: { name: evil } });
    await card(page, order).getByText(evil).first().waitFor();
    await tap(page, order, /^More for/);
    await page.getByRole('dialog').getByText(evil).first().waitFor();
    expect(await page.evaluate(() => 'hacked' in globalThis)).toBe(false);
    await act(order, 'reject', { reason: 'other', note: evil });
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Recall' }).click();
    await page.getByRole('dialog').getByText(order.display_code).first().waitFor();
    expect(await page.evaluate(() => 'hacked' in globalThis)).toBe(false);
  });
});

describe('without a connection', () => {
  it('for ten minutes, the board says which order expired and which command was refused', async () => {
    const page = await openBoard();
    const order = await place();
    await card(page, order).waitFor();
    const { acceptance_deadline: deadline } = await site.dabba.call<{ acceptance_deadline: string }>('restaurant', 'GET', `/v1/orders/${order.id}`);
    const { now } = await site.dabba.call<{ now: string }>('admin', 'GET', '/v1/sandbox/clock');
    await advance(Math.floor((Date.parse(deadline) - Date.parse(now)) / 1_000) - 300);
    site.front.disconnect();
    await tap(page, order, /^Accept/);
    await page.getByText(/^Not up to date since/).waitFor();
    await page.getByText('1 command waits for the network.').waitFor();
    await advance(600);
    await settled(order, 'cancelled');
    site.front.connect();
    await page.getByText(`Order ${order.display_code} was not accepted.`).waitFor({ timeout: RECONNECTION });
    await page.getByText('The order has expired.').waitFor();
    await card(page, order).waitFor({ state: 'detached' });
    // One bar per order: that of the command has the reason.
    expect(await page.getByText(/expired: nobody accepted it in time/).count()).toBe(0);
  });

  it('because the server was killed, a command arrives once after its restart, also after a reload', async () => {
    const page = await openBoard();
    const order = await place();
    await card(page, order).waitFor();
    await site.dabba.kill();
    await tap(page, order, /^Accept/);
    await page.getByText('Not sent yet').waitFor();
    page.on('dialog', (dialog) => void dialog.accept());
    await page.reload();
    await card(page, order).getByText('Not sent yet').waitFor();
    await site.dabba.restart();
    await inColumn(page, 'preparing', order).waitFor({ timeout: 40_000 });
    expect((await events(order)).filter((type) => type === 'accepted')).toEqual(['accepted']);
    await act(order, 'cancel', { reason: 'other' });
  }, 120_000);
});

describe('access', () => {
  it('ends on the open board when the session is revoked', async () => {
    const page = await openBoard();
    const order = await place();
    await card(page, order).waitFor();
    const account = await site.dabba.call<{ id: string }>('restaurant', 'GET', '/v1/accounts/me');
    const { sessions } = await site.dabba.call<{ sessions: { id: string; revoked_at?: string }[] }>(
      'admin',
      'GET',
      `/v1/accounts/${account.id}/sessions?limit=100`,
    );
    for (const session of sessions.filter(({ revoked_at }) => revoked_at === undefined)) {
      await site.dabba.call('admin', 'DELETE', `/v1/accounts/${account.id}/sessions/${session.id}`);
    }
    await page.getByText('You are signed out').waitFor({ timeout: 20_000 });
    expect(await card(page, order).count()).toBe(0);
    // Without a network the board would show what it has kept, but it is nobody's any more.
    await waitUntilKept(page, '/kitchen/-');
    site.front.disconnect();
    await page.reload();
    await page.getByText('The server cannot be reached.').waitFor();
    expect(await card(page, order).count()).toBe(0);
    site.front.connect();
    await act(order, 'reject', { reason: 'other' });
  });

  it('to the board of another restaurant is refused', async () => {
    const page = await site.open({ role: 'restaurant', path: '/kitchen/019b0000-0000-7000-8000-00000000ffff' });
    await page.getByText('This is not your kitchen').waitFor();
    const customer = await site.open({ role: 'customer', path });
    await customer.getByText('This is not your kitchen').waitFor();
  });

  it('without a session leads to the sign-in page and back', async () => {
    const page = await site.open({ path });
    await page.waitForURL((url) => url.pathname === '/login');
    // The sign-in page has read the fragment and removed it from the address.
    const navigated = await page.evaluate(() => performance.getEntriesByType('navigation')[0]?.name ?? '');
    expect(new URL(navigated).hash).toBe(`#next=${encodeURIComponent(path)}`);
  });

  it('ends with a sign-out, and nothing of the account stays in the browser', async () => {
    const page = await openBoard();
    const order = await place();
    await card(page, order).waitFor();
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.waitForURL((url) => url.pathname === '/login');
    const kept = () => page.evaluate(async () => (await indexedDB.databases()).map(({ name }) => name));
    await expect.poll(async () => (await kept()).filter((name) => name?.startsWith('dabba-account-'))).toEqual([]);
    await act(order, 'reject', { reason: 'other' });
  });
});
