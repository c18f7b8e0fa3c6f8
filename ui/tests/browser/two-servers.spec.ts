// Two servers on one PostgreSQL database: the browser is connected to one of them, and the other one changes the orders.
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { startDabba, type Dabba } from './dabba';
import { holdOutbox, tapAtRest } from './held';
import { startCluster, type Cluster } from './postgres';
import { openSite, RECONNECTION, type Site } from './site';

/**
 * Time within which a change on the other server must be shown, in milliseconds. The limit between two processes is 1.5 s, even
 * if every hint is lost; the factor is for a busy machine with a browser. Without the poll of the database, the next heartbeat
 * would repair the board only after up to 10 s.
 */
const ACROSS = 4 * 1_500;

let cluster: Cluster;
let site: Site;
let other: Dabba;

beforeAll(async () => {
  cluster = await startCluster();
  site = await openSite({ database: cluster.url });
  other = await startDabba({ database: cluster.url, beside: site.dabba });
});
afterEach(() => site.check());
afterAll(async () => {
  await other?.stop();
  await site?.close();
  await cluster?.stop();
});

interface Placed {
  id: string;
  display_code: string;
}

const ORDER = { payment_method: 'cash', fulfilment: { type: 'collection' } };
const place = (dabba: Dabba) => dabba.placeOrder(ORDER) as unknown as Promise<Placed>;
const act = (dabba: Dabba, order: Placed, command: string, body?: unknown) =>
  dabba.call('restaurant', 'POST', `/v1/orders/${order.id}/${command}`, body);
const inColumn = (page: Page, name: string, order: Placed) =>
  page.locator(`[data-column="${name}"] [data-code="${order.display_code}"]`);

async function openBoard(context?: BrowserContext): Promise<Page> {
  const path = `/kitchen/${site.dabba.restaurant_id}`;
  const page = await site.open(context === undefined ? { role: 'restaurant', path } : { context, path });
  await page.getByText('Live', { exact: true }).waitFor();
  return page;
}

it('an order that the other server takes, changes and ends moves on the board', async () => {
  const page = await openBoard();
  const order = await place(other);
  await inColumn(page, 'new', order).waitFor({ timeout: ACROSS });
  await act(other, order, 'accept', { preparation_minutes: 20 });
  await inColumn(page, 'preparing', order).waitFor({ timeout: ACROSS });
  await act(other, order, 'ready');
  await inColumn(page, 'ready', order).waitFor({ timeout: ACROSS });
  await act(other, order, 'deliver', {});
  await page.locator(`[data-code="${order.display_code}"]`).waitFor({ state: 'detached', timeout: ACROSS });
});

it('two boards on two servers accept one order once, and neither shows an error', async () => {
  const { id: account } = await site.dabba.call<{ id: string }>('restaurant', 'GET', '/v1/accounts/me');
  // Neither board sends before both have the command.
  const tabs = [await site.open({ role: 'restaurant' }), await site.open({ role: 'restaurant' })] as const;
  const releases = [await holdOutbox(tabs[0], site.front, account), await holdOutbox(tabs[1], site.front, account)];
  const first = await openBoard(tabs[0].context());
  site.front.target = other.address;
  const second = await openBoard(tabs[1].context());
  site.front.target = site.dabba.address;
  const order = await place(other);
  for (const page of [first, second]) await inColumn(page, 'new', order).waitFor({ timeout: ACROSS });
  for (const page of [first, second]) await tapAtRest(page.locator(`[data-code="${order.display_code}"]`).getByRole('button', { name: /^Accept/ }));
  for (const page of [first, second]) await page.getByRole('button', { name: /^Undo/ }).waitFor();
  for (const release of releases) await release();
  for (const page of [first, second]) await inColumn(page, 'preparing', order).waitFor();
  const { events } = await other.call<{ events: { type: string }[] }>('admin', 'GET', `/v1/orders/${order.id}/events`);
  expect(events.filter(({ type }) => type === 'accepted')).toHaveLength(1);
  await act(other, order, 'cancel', { reason: 'other' });
});

// The last test: the first server does not come back.
it('a board whose server is killed goes on with the other one, and its command arrives once', async () => {
  const page = await openBoard();
  const order = await place(site.dabba);
  await inColumn(page, 'new', order).waitFor();
  await site.dabba.kill();
  await tapAtRest(page.locator(`[data-code="${order.display_code}"]`).getByRole('button', { name: /^Accept/ }));
  await page.getByText(/^Not up to date since/).waitFor();
  const missed = await place(other);
  // The load balancer notices.
  site.front.target = other.address;
  await inColumn(page, 'new', missed).waitFor({ timeout: RECONNECTION });
  await page.getByText('Live', { exact: true }).waitFor();
  await inColumn(page, 'preparing', order).waitFor();
  const { events } = await other.call<{ events: { type: string }[] }>('admin', 'GET', `/v1/orders/${order.id}/events`);
  expect(events.filter(({ type }) => type === 'accepted')).toHaveLength(1);
});
