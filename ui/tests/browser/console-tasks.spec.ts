import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { isolate } from '../../src/lib/bidi';
import { accessibilityProblems } from './accessible';
import { openSite, type Site } from './site';

interface Task {
  id: string;
  kind: string;
  order_id?: string;
  parked_at: string;
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

it('a task of a restaurant shows times in the restaurant\'s zone', async () => {
  const task = {
    id: '019b0000-0000-7000-8000-000000000001',
    kind: 'kind_1',
    restaurant_id: site.dabba.restaurant_id,
    attempts: 3,
    parked_at: '2026-01-15T12:00:00Z',
    failures: [],
  };
  site.front.intercept = (request, response) => {
    if (request.url?.startsWith('/v1/tasks') !== true) return false;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ tasks: [task] }));
    return true;
  };
  const page = await site.open({ role: 'admin', path: '/console/tasks', options: { timezoneId: 'Asia/Tokyo' } });
  const card = page.getByRole('article', { name: 'kind 1' });
  await card.getByRole('link', { name: 'Saffron Lane' }).waitFor();
  await card.getByText(/12:00/).waitFor();
});

async function tasksOf(order: string): Promise<Task[]> {
  const { tasks } = await site.dabba.call<{ tasks: Task[] }>('admin', 'GET', '/v1/tasks');
  return tasks.filter((task) => task.order_id === order);
}

const accept = (order: string) =>
  site.dabba.call('restaurant', 'POST', `/v1/orders/${order}/accept`, { preparation_minutes: 20 });

async function placeByCard(token: string): Promise<string> {
  const { id } = await site.dabba.placeOrder({ payment_method: 'card', payment_token: token });
  const status = async () => (await site.dabba.call<{ status: string }>('admin', 'GET', `/v1/orders/${id}`)).status;
  await expect.poll(status).toBe('confirmed');
  return id;
}

it('a review is resolved with a reason', async () => {
  const order = await placeByCard('tok_captures_less');
  await accept(order);
  await expect.poll(() => tasksOf(order)).toHaveLength(1);
  const page = await site.open({ role: 'admin', path: '/console/tasks' });
  const card = page.getByRole('article', { name: 'Review' });
  await card.getByText('Payment differs').waitFor();
  const { display_code: code } = await site.dabba.call<{ display_code: string }>('admin', 'GET', `/v1/orders/${order}`);
  await card.getByRole('link', { name: new RegExp(`^Order .?${code}.?, .?Saffron Lane`) }).waitFor();
  await card.getByText(/^The payment provider captured £\d+\.\d\d, which is not the order’s total\./).waitFor();
  expect(await card.getByText('minor units').count()).toBe(0);
  expect(await card.getByRole('button', { name: 'Retry' }).count()).toBe(0);
  expect(await accessibilityProblems(page, 'tasks')).toEqual([]);
  await card.getByRole('button', { name: 'Resolve' }).click();
  const dialog = page.getByRole('dialog', { name: 'Resolve: Review?' });
  const confirm = dialog.getByRole('button', { name: 'Resolve' });
  expect(await confirm.isDisabled()).toBe(true);
  await dialog.getByLabel('Reason').fill('Refunded by hand');
  expect(await accessibilityProblems(page, 'resolve')).toEqual([]);
  await confirm.click();
  await page.getByText('No parked tasks').waitFor();
  expect(await tasksOf(order)).toEqual([]);
});

it('a parked task is retried alone, and with others', async () => {
  // The simulated provider forgets its payments when the server ends, so these captures fail, and fail again when retried.
  const orders = [await placeByCard('tok_succeed'), await placeByCard('tok_succeed')];
  await site.dabba.restart();
  for (const order of orders) await accept(order);
  const parked = async () => (await Promise.all(orders.map(tasksOf))).flat();
  // Pauses between attempts grow to five minutes of the sandbox's clock.
  const advance = () => site.dabba.call('admin', 'POST', '/v1/sandbox/clock/advance', { seconds: 300 });
  const waitUntilParked = (known: Task[]) =>
    expect
      .poll(
        async () => {
          await advance();
          const earlier = known.map((task) => task.parked_at);
          return (await parked()).filter((task) => !earlier.includes(task.parked_at)).length;
        },
        { timeout: 50_000, interval: 300 },
      )
      .toBe(2);
  await waitUntilParked([]);
  const page = await site.open({ role: 'admin', path: '/console/tasks?kind=capture_payment' });
  const cards = page.getByRole('article', { name: 'Capture payment' });
  await cards.first().getByText(/attempt/).waitFor();
  expect(await cards.count()).toBe(2);
  expect(await accessibilityProblems(page, 'parked captures')).toEqual([]);

  const [first] = await parked();
  await cards.first().getByRole('button', { name: 'Retry' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Retry' }).click();
  await page.getByText(/^Capture payment \(order .*\): Dabba tries again\.$/).waitFor();
  expect(site.front.requests).toContain(`POST /v1/tasks/${first?.id}/retry`);
  // The task of the card that was retried is gone, or parked again later.
  await expect.poll(async () => (await parked()).map((task) => task.parked_at)).not.toContain(first?.parked_at);

  await expect
    .poll(async () => {
      await advance();
      return (await parked()).length;
    }, { timeout: 50_000, interval: 300 })
    .toBe(2);
  const before = await parked();
  await page.getByRole('button', { name: 'Reload' }).click();
  await expect.poll(() => cards.count()).toBe(2);
  await page.getByRole('button', { name: 'Select all for retry' }).click();
  await page.getByRole('button', { name: 'Retry 2 tasks' }).click();
  const dialog = page.getByRole('dialog', { name: 'Retry 2 tasks?' });
  await dialog.getByRole('button', { name: 'Retry' }).click();
  await dialog.getByText('Done: 2. Failed: 0.').waitFor();
  expect(await accessibilityProblems(page, 'outcomes')).toEqual([]);
  await dialog.getByRole('button', { name: 'Close' }).last().click();
  await waitUntilParked(before);
}, 240_000);

it('outcomes name the order, and those of a closed dialog are a toast and not in the next dialog', async () => {
  const orders = [await site.dabba.placeOrder(), await site.dabba.placeOrder()];
  const tasks = orders.map(({ id }, index) => ({
    id: `01a22c06-0000-7000-8000-00000000000${index}`,
    kind: 'capture_payment',
    order_id: id,
    attempts: 10,
    parked_at: new Date().toISOString(),
    failures: [],
  }));
  let release: () => void = () => undefined;
  let isHeld = true;
  site.front.intercept = async (request, response) => {
    if (request.url?.startsWith('/v1/tasks?') === true) {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ tasks }));
      return true;
    }
    if (request.method !== 'POST' || !/^\/v1\/tasks\/[^/]+\/retry$/.test(request.url ?? '')) return false;
    if (isHeld && request.url?.includes(tasks[0]?.id ?? '') === true) await new Promise<void>((resolve) => (release = resolve));
    response.writeHead(204).end();
    return true;
  };
  const page = await site.open({ role: 'admin', path: '/console/tasks' });
  await page.getByRole('button', { name: 'Select all for retry' }).click();
  await page.getByRole('button', { name: 'Retry 2 tasks' }).click();
  const dialog = page.getByRole('dialog', { name: 'Retry 2 tasks?' });
  await dialog.getByRole('button', { name: 'Retry' }).click();
  await dialog.getByText('1 of 2 done').waitFor();
  expect(await accessibilityProblems(page, 'retries under way')).toEqual([]);
  await dialog.getByRole('button', { name: 'Close' }).last().click();
  release();
  await page.getByText('Retry of tasks: 2 done, 0 failed.').waitFor();
  isHeld = false;

  await page.getByRole('button', { name: 'Select all for retry' }).click();
  await page.getByRole('button', { name: 'Retry 2 tasks' }).click();
  expect(await dialog.getByRole('list', { name: 'Outcome of each' }).count()).toBe(0);
  await dialog.getByRole('button', { name: 'Retry' }).click();
  await dialog.getByText('Done: 2. Failed: 0.').waitFor();
  const outcomes = dialog.getByRole('list', { name: 'Outcome of each' });
  for (const { id } of orders) {
    const { display_code: code } = await site.dabba.call<{ display_code: string }>('admin', 'GET', `/v1/orders/${id}`);
    await outcomes.getByRole('link', { name: `Order ${isolate(code)}, ${isolate('Saffron Lane')}` }).waitFor();
  }
  expect(await accessibilityProblems(page, 'named outcomes')).toEqual([]);
});

it('the dialog of a task stays open when the task leaves the list', async () => {
  const task = {
    id: '01a22c06-0000-7000-8000-000000000009',
    kind: 'capture_payment',
    attempts: 10,
    parked_at: new Date().toISOString(),
    failures: [],
  };
  let tasks = [task];
  let reads = 0;
  site.front.intercept = (request, response) => {
    if (request.url?.startsWith('/v1/tasks?') !== true) return false;
    reads += 1;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ tasks }));
    return true;
  };
  const page = await site.open({ role: 'admin', path: '/console/tasks' });
  await page.getByRole('article').getByRole('button', { name: /^Resolve/ }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Reason').fill('Checked by');
  tasks = [];
  const before = reads;
  await expect.poll(() => reads, { timeout: 60_000 }).toBeGreaterThan(before);
  await page.waitForTimeout(500);
  expect(await dialog.getByLabel('Reason').inputValue()).toBe('Checked by');
  await dialog.getByRole('button', { name: 'Back' }).click();
  await page.getByText('No parked tasks').waitFor();
}, 120_000);
