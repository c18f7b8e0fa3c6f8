// How people find their way: titles, focus, announcements, dialogs that are busy, and a session that ends and begins again.
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { MAXIMUM_IN_FLIGHT } from '../../src/console/turns';
import { isolate } from '../../src/lib/bidi';
import { openSite, type Site, WAIT } from './site';

interface Order {
  id: string;
  display_code: string;
}

let site: Site;
let order: Order;

beforeAll(async () => {
  site = await openSite();
  order = await place();
});
afterEach(() => {
  site.front.intercept = () => false;
  return site.check();
});
afterAll(() => site.close());

async function place(): Promise<Order> {
  return site.dabba.call('admin', 'GET', `/v1/orders/${(await site.dabba.placeOrder()).id}`);
}

const open = (path = '/console/orders', options = {}) => site.open({ role: 'admin', path, options });
const row = (page: Page, { id }: { id: string }) => page.locator(`[data-row="${id}"]`);
const titled = (page: Page, title: string) =>
  page.waitForFunction((expected) => document.title === `${expected} – Console – Dabba`, title);
/** Waits until the focus is on an element that a selector names. */
const focusIsOn = (page: Page, selector: string) =>
  page.waitForFunction((wanted) => document.activeElement?.matches(wanted) === true, selector);

describe('a navigation', () => {
  it('to another view changes the title, and moves the focus to the heading', async () => {
    const page = await open();
    await titled(page, 'Orders');
    // The first view leaves the focus where the browser has it.
    await focusIsOn(page, 'body');
    const views = page.getByRole('navigation', { name: 'Views' });
    for (const name of ['Tasks', 'Restaurants', 'Accounts', 'Webhooks', 'Statistics', 'Shards']) {
      await views.getByRole('link', { name }).click();
      await titled(page, name);
      await focusIsOn(page, 'h1');
      await expect.poll(() => page.evaluate(() => document.activeElement?.textContent)).toBe(name);
    }
    await page.goBack();
    await titled(page, 'Statistics');
    await focusIsOn(page, 'h1');
  });

  it('to an entry beside its list leaves the focus there, and announces the entry', async () => {
    const other = await place();
    const page = await open();
    await row(page, order).click();
    await titled(page, `Order ${order.display_code} – Orders`);
    await focusIsOn(page, `[data-row="${order.id}"]`);
    const announced = page.getByRole('status').filter({ hasText: `Order ${order.display_code} – Orders` });
    await announced.waitFor({ state: 'attached' });
    await row(page, other).click();
    await titled(page, `Order ${other.display_code} – Orders`);
    await announced.waitFor({ state: 'detached' });
    await page.goto(`/console/restaurants/${site.dabba.restaurant_id}`);
    await titled(page, 'Saffron Lane – Restaurants');
    await page.getByRole('searchbox').fill(order.display_code);
    await page.keyboard.press('Enter');
    await titled(page, `Order ${order.display_code} – Search results`);
  });

  it('on a phone moves the focus into the entry, and back to its row', async () => {
    const page = await open('/console/orders', { viewport: { width: 390, height: 844 } });
    await row(page, order).click();
    await focusIsOn(page, '.detail');
    await page.getByRole('link', { name: 'Back' }).click();
    await focusIsOn(page, `[data-row="${order.id}"]`);
    await page.keyboard.press('Enter');
    await focusIsOn(page, '.detail');
    await page.goBack();
    await focusIsOn(page, `[data-row="${order.id}"]`);
  });
});

it('a console whose session has ended goes on when another tab signs in', async () => {
  const page = await open();
  await page.getByText('Live', { exact: true }).waitFor();
  await row(page, order).waitFor();
  await page.evaluate(() => fetch('/v1/session', { method: 'DELETE' }));
  const ended = page.getByText('Your sign-in has ended.');
  await ended.waitFor({ timeout: 40_000 });
  await page.getByText('No live updates: sign in again').waitFor({ timeout: 40_000 });
  await row(page, order).focus();
  const missed = await place();
  await site.open({ role: 'admin', path: '/', context: page.context() });
  await ended.waitFor({ state: 'detached' });
  await page.getByText('Live', { exact: true }).waitFor();
  await page.getByRole('button', { name: '1 new order' }).click();
  await row(page, missed).waitFor();
}, 120_000);

it('a dialog stays open until its action has an outcome, and shows a failure', async () => {
  const page = await open(`/console/restaurants/${site.dabba.restaurant_id}`);
  let answer: () => void = () => undefined;
  let isAsked = false;
  site.front.intercept = async (request, response) => {
    if (request.method !== 'POST' || request.url?.endsWith('/pause') !== true) return false;
    isAsked = true;
    await new Promise<void>((resolve) => (answer = resolve));
    const problem = { code: 'forbidden', title: 'Forbidden', detail: 'Not on a Monday.' };
    response.writeHead(403, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem));
    return true;
  };
  await page.getByRole('button', { name: 'Pause', exact: true }).click();
  const dialog = page.getByRole('dialog', { name: `Pause ${isolate('Saffron Lane')}?` });
  await dialog.getByRole('button', { name: 'Pause' }).click();
  await expect.poll(() => isAsked).toBe(true);
  expect(await dialog.getByRole('button', { name: 'Back' }).isDisabled()).toBe(true);
  expect(await dialog.getByRole('button', { name: 'Close' }).count()).toBe(0);
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');
  answer();
  await dialog.getByText('Not on a Monday.').waitFor();
  await dialog.getByRole('button', { name: 'Back' }).click();
  await dialog.waitFor({ state: 'detached' });
});

it('an order’s webhooks are read few at a time, however many endpoints there are', async () => {
  const count = 3 * MAXIMUM_IN_FLIGHT;
  const example = { url: 'https://example.com/hook', enabled: true, payload: 'event', secrets: [], version: 1, created_at: '2026-11-30T10:00:00Z' };
  let underWay = 0;
  let most = 0;
  let answered = 0;
  site.front.intercept = async (request, response) => {
    const path = new URL(request.url ?? '', site.origin).pathname;
    const send = (body: object) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (path === '/v1/webhook-endpoints') {
      const own = request.url?.includes('restaurant_id=') === true;
      send({ endpoints: own ? [] : Array.from({ length: count }, (_, index) => ({ ...example, id: `endpoint-${index}` })) });
      return true;
    }
    if (!path.startsWith('/v1/webhook-endpoints/')) return false;
    underWay += 1;
    most = Math.max(most, underWay);
    // The other requests of the page arrive meanwhile.
    for (let turn = 0; turn < 20; turn += 1) await new Promise((done) => setImmediate(done));
    underWay -= 1;
    answered += 1;
    send({ attempts: [], failures: [] });
    return true;
  };
  const page = await open(`/console/orders/${order.id}?tab=webhooks`);
  await expect.poll(() => page.getByRole('heading', { level: 3, name: 'https://example.com/hook' }).count(), { timeout: WAIT }).toBe(count);
  expect(answered).toBe(2 * count);
  expect(most).toBeLessThanOrEqual(MAXIMUM_IN_FLIGHT);
});
