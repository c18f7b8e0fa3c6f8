// The live list of orders as time passes: late orders move up, nothing is missed, and an action applies to what is shown.
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { MAXIMUM_ENTRIES } from '../../src/console/bulk';
import { accessibilityProblems } from './accessible';
import { openSite, type Site } from './site';

interface Order {
  id: string;
  display_code: string;
  status: string;
}

let site: Site;

beforeAll(async () => {
  site = await openSite();
});
afterEach(() => {
  site.front.intercept = () => false;
  return site.check();
});
afterAll(() => site.close());

/** Time in which the page learns that the server's clock advanced: the next heartbeat, and a view's next look at the time. */
const LATENESS = 40_000;
const COLLECTION = { fulfilment: { type: 'collection' } };

const open = (path = '/console/orders') => site.open({ role: 'admin', path });
const read = (id: string) => site.dabba.call<Order>('admin', 'GET', `/v1/orders/${id}`);
const row = (page: Page, order: { id: string }) => page.locator(`[data-row="${order.id}"]`);
const ids = (page: Page) => page.locator('[data-row]').evaluateAll((rows) => rows.map((entry) => entry.getAttribute('data-row')));
const advance = (minutes: number) => site.dabba.call('admin', 'POST', '/v1/sandbox/clock/advance', { seconds: minutes * 60 });
const live = (page: Page) => page.getByText('Live', { exact: true }).waitFor();

/** Places an order that is ready in some minutes. */
async function prepare(minutes: number): Promise<Order> {
  const { id } = await site.dabba.placeOrder(COLLECTION);
  await site.dabba.call('restaurant', 'POST', `/v1/orders/${id}/accept`, { preparation_minutes: minutes });
  return read(id);
}

const ready = (order: Order) => site.dabba.call('restaurant', 'POST', `/v1/orders/${order.id}/ready`);

it('an order that becomes late moves up by itself, and keeps the focus', async () => {
  const [late, calm] = [await prepare(5), await prepare(120)];
  const page = await open();
  await live(page);
  await row(page, late).waitFor();
  const before = await ids(page);
  expect(before.indexOf(calm.id)).toBeLessThan(before.indexOf(late.id));
  await row(page, late).focus();
  await advance(8);
  await row(page, late).getByText(/Not ready: .* late/).waitFor({ timeout: LATENESS });
  const after = await ids(page);
  expect(after.indexOf(late.id)).toBeLessThan(after.indexOf(calm.id));
  expect(await page.evaluate(() => document.activeElement?.getAttribute('data-row'))).toBe(late.id);
  // A calm order leaves the late ones.
  await ready(late);
  await row(page, late).getByText('Ready', { exact: true }).waitFor();
});

it('the view of late orders shows an order that is new and becomes late, and no other one', async () => {
  const page = await open('/console/orders?attention=1');
  await live(page);
  const [late, calm] = [await prepare(5), await prepare(120)];
  await advance(8);
  await row(page, late).waitFor({ timeout: LATENESS });
  expect(await row(page, calm).count()).toBe(0);
  expect(await page.getByRole('button', { name: /new order/ }).count()).toBe(0);
  await ready(late);
  await row(page, late).waitFor({ state: 'detached' });
});

it('an order that leaves the view is not cancelled with the others, and outcomes stay when their orders leave', async () => {
  const [gone, stays] = [await prepare(5), await prepare(5)];
  await advance(8);
  const page = await open('/console/orders?attention=1');
  await live(page);
  for (const order of [gone, stays]) await page.getByLabel(`Select order ${order.display_code}`).check();
  await page.getByText('2 orders selected').waitFor();
  await ready(gone);
  await page.getByText('1 order selected').waitFor();
  await page.getByRole('button', { name: 'Cancel orders' }).click();
  const dialog = page.getByRole('dialog', { name: 'Cancel 1 order?' });
  const named = dialog.getByRole('list', { name: 'Selected orders' }).getByRole('listitem');
  expect(await named.count()).toBe(1);
  await named.filter({ hasText: stays.display_code }).waitFor();
  await dialog.getByLabel('Reason').selectOption({ label: 'Ordered twice' });
  await dialog.getByText('1 order is cancelled.').waitFor();
  await dialog.getByRole('button', { name: 'Cancel orders' }).click();
  await dialog.getByText('Done: 1. Failed: 0.').waitFor();
  await row(page, stays).waitFor({ state: 'detached' });
  await dialog.getByRole('list', { name: 'Outcome of each' }).getByText(stays.display_code).waitFor();
  expect((await read(gone.id)).status).toBe('ready_for_pickup');
});

it('an order that was placed before the first connection is not missed', async () => {
  let refuse = true;
  site.front.intercept = (request, response) => {
    if (!refuse || request.url?.startsWith('/v1/events/stream') !== true) return false;
    response.writeHead(503, { 'content-type': 'application/problem+json' }).end('{"code":"unavailable"}');
    return true;
  };
  const known = await prepare(120);
  const page = await open();
  await row(page, known).waitFor();
  const missed = await prepare(120);
  expect(await row(page, missed).count()).toBe(0);
  await row(page, known).focus();
  refuse = false;
  await live(page);
  await page.getByRole('button', { name: '1 new order' }).click();
  await row(page, missed).waitFor();
});

it('new orders appear at once where nobody has a place to lose, and wait for a reader', async () => {
  const known = await prepare(120);
  const page = await open();
  await live(page);
  await row(page, known).waitFor();
  const button = page.getByRole('button', { name: /new order/ });
  const seen = await prepare(120);
  await row(page, seen).waitFor();
  expect(await button.count()).toBe(0);
  await row(page, known).focus();
  const waits = await prepare(120);
  await button.waitFor();
  expect(await row(page, waits).count()).toBe(0);
  // An order that leaves the view says so while a reader has a place, and then disappears.
  await site.dabba.call('admin', 'POST', `/v1/orders/${seen.id}/cancel`, { reason: 'other' });
  await row(page, seen).getByText('No longer in this view').waitFor();
  expect(await accessibilityProblems(page, 'order that has left')).toEqual([]);
  await row(page, known).blur();
  await row(page, waits).waitFor();
  await row(page, seen).waitFor({ state: 'detached' });
  expect(await button.count()).toBe(0);
});

it('an empty list shows new orders by itself, also beside an open order', async () => {
  const known = await prepare(120);
  site.front.intercept = (request, response) => {
    if (request.method !== 'GET' || request.url?.startsWith('/v1/orders?') !== true) return false;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ orders: [] }));
    return true;
  };
  const page = await open(`/console/orders/${known.id}`);
  await live(page);
  await page.getByText('No orders here').waitFor();
  const first = await prepare(120);
  await row(page, first).waitFor();
  // The list is not empty any more, and the reader has an order open.
  await prepare(120);
  await page.getByRole('button', { name: '1 new order' }).waitFor();
});

it('a change that cannot be read at once is read later', async () => {
  const order = await prepare(120);
  const page = await open();
  await live(page);
  await row(page, order).waitFor();
  let failures = 0;
  site.front.intercept = (request, response) => {
    if (request.method !== 'GET' || request.url !== `/v1/orders/${order.id}` || failures > 0) return false;
    failures += 1;
    response.writeHead(503, { 'content-type': 'application/problem+json' }).end('{"code":"unavailable"}');
    return true;
  };
  await ready(order);
  await row(page, order).getByText('Ready', { exact: true }).waitFor();
  expect(failures).toBe(1);
});

it('an action has a maximum of orders, which the page states', async () => {
  const order = await prepare(120);
  const copies = Array.from({ length: MAXIMUM_ENTRIES + 1 }, (_, index) => `${order.id.slice(0, -4)}${String(index).padStart(4, '0')}`);
  site.front.intercept = async (request, response) => {
    if (request.method !== 'GET' || request.url?.startsWith('/v1/orders?') !== true) return false;
    const orders = copies.map((id) => ({ ...order, id }));
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ orders }));
    return true;
  };
  const page = await open();
  await row(page, { id: copies[0] ?? '' }).waitFor();
  await page.locator('main input[type=checkbox]').evaluateAll((boxes) => boxes.forEach((box) => (box as HTMLElement).click()));
  await page.getByText(`${MAXIMUM_ENTRIES + 1} orders selected At most ${MAXIMUM_ENTRIES} at a time.`).waitFor();
  const cancel = page.getByRole('button', { name: 'Cancel orders' });
  expect(await cancel.isDisabled()).toBe(true);
  expect(await accessibilityProblems(page, 'too many orders')).toEqual([]);
  await page.locator('main input[type=checkbox]').first().uncheck();
  expect(await cancel.isDisabled()).toBe(false);
});
