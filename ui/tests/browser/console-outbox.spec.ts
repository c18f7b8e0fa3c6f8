import type { IncomingMessage } from 'node:http';
import type { Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { accessibilityProblems } from './accessible';
import { openSite, type Site } from './site';
import { blockStorage } from './storage';

interface Order {
  id: string;
  display_code: string;
  status: string;
}

/** Maximum time until a command that has failed several times has reached the server: the longest pause is 15 s. */
const SENT = 40_000;

let site: Site;
/** Idempotency keys of the commands that reached the front, without previews. */
const keys: string[] = [];

beforeAll(async () => {
  site = await openSite();
});
afterEach(() => {
  site.front.intercept = () => false;
  keys.length = 0;
  return site.check();
});
afterAll(() => site.close());

const read = (id: string) => site.dabba.call<Order>('admin', 'GET', `/v1/orders/${id}`);
const place = async () => read((await site.dabba.placeOrder()).id);
const open = (path: string) => site.open({ role: 'admin', path });
const accept = (id: string) =>
  site.dabba.call('restaurant', 'POST', `/v1/orders/${id}/accept`, { preparation_minutes: 20 });

async function cancellations(id: string): Promise<number> {
  const list = await site.dabba.call<{ events: { type: string }[] }>('admin', 'GET', `/v1/orders/${id}/events`);
  return list.events.filter((event) => event.type === 'cancelled').length;
}

function isCommand(request: IncomingMessage): boolean {
  return request.method === 'POST' && /^\/v1\/orders\/[^/]+\/cancel$/.test(request.url ?? '');
}

/** Loses the answer of every command. With `carriedOut`, the command has reached the server before. */
function loseAnswers({ carriedOut }: { carriedOut: boolean }): void {
  site.front.intercept = async (request, response) => {
    if (!isCommand(request)) return false;
    keys.push(String(request.headers['idempotency-key']));
    if (carriedOut) {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const headers = Object.entries(request.headers).filter(([name]) => !['connection', 'host', 'content-length'].includes(name));
      const init = { method: 'POST', headers: Object.fromEntries(headers) as Record<string, string>, body: Buffer.concat(chunks) };
      await fetch(site.dabba.address + request.url, init).catch(() => undefined);
    }
    response.destroy();
    return true;
  };
}

/** Opens the dialog that cancels an order, and waits for its effect. */
async function prepare(page: Page): Promise<Locator> {
  await page.getByRole('button', { name: 'Cancel order' }).click();
  const dialog = page.getByRole('dialog', { name: /^Cancel order/ });
  await dialog.getByLabel('Reason').selectOption({ label: 'Ordered twice' });
  await dialog.getByText('No money moves.').waitFor();
  return dialog;
}

/** Does not wait for the end of a pause, unless the outbox has sent the commands already. */
async function sendNow(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Send now' }).evaluateAll((buttons) => buttons.forEach((button) => (button as HTMLElement).click()));
}

it('a command whose answer was lost survives a reload and a crash of the server, and is carried out once', async () => {
  const order = await place();
  const page = await open(`/console/orders/${order.id}`);
  const dialog = await prepare(page);
  loseAnswers({ carriedOut: false });
  await dialog.getByRole('button', { name: 'Cancel order' }).click();
  await dialog.getByText('The server has not answered yet.').waitFor();
  expect(await accessibilityProblems(page, 'no answer')).toEqual([]);
  await page.reload();
  const waiting = page.getByRole('list', { name: 'Commands without an answer' });
  await waiting.getByText(`Cancel order: ${order.display_code}`).waitFor();
  expect(await accessibilityProblems(page, 'unanswered commands')).toEqual([]);
  expect((await read(order.id)).status).toBe('confirmed');

  // The server carries the command out, its answer is lost, and it crashes.
  loseAnswers({ carriedOut: true });
  await sendNow(page);
  await expect.poll(async () => (await read(order.id)).status).toBe('cancelled');
  await site.dabba.kill();
  await page.reload();
  await site.dabba.restart();
  site.front.intercept = (request) => {
    if (isCommand(request)) keys.push(String(request.headers['idempotency-key']));
    return false;
  };
  await waiting.waitFor({ state: 'detached', timeout: SENT });
  await page.getByText(`Order ${order.display_code} is cancelled.`).waitFor();
  expect(await cancellations(order.id)).toBe(1);
  expect(keys.length).toBeGreaterThan(2);
  expect(new Set(keys).size).toBe(1);
});

it('a refusal stays visible across reloads, until it is dismissed', async () => {
  const order = await place();
  const page = await open(`/console/orders/${order.id}`);
  const dialog = await prepare(page);
  loseAnswers({ carriedOut: false });
  await dialog.getByRole('button', { name: 'Cancel order' }).click();
  await expect.poll(() => keys.length).toBeGreaterThan(0);
  await dialog.getByRole('button', { name: 'Close' }).last().click();
  await page.getByText('1 command has no answer yet').waitFor();
  await accept(order.id);
  site.front.intercept = () => false;
  await sendNow(page);
  const refusal = page.getByRole('alert').filter({ hasText: `“Cancel order: ${order.display_code}” was refused` });
  await refusal.getByText('The order has changed since the command was given.').waitFor();
  expect(await accessibilityProblems(page, 'refused command')).toEqual([]);
  await page.goto('/console/tasks');
  await refusal.waitFor();
  await refusal.getByRole('link', { name: 'Open the order' }).click();
  await page.getByRole('heading', { level: 2, name: order.display_code }).waitFor();
  expect((await read(order.id)).status).toBe('preparing');
  await refusal.getByRole('button', { name: /^Dismiss/ }).click();
  await refusal.waitFor({ state: 'detached' });
  await page.reload();
  await page.getByRole('heading', { level: 2, name: order.display_code }).waitFor();
  expect(await refusal.count()).toBe(0);
});

it('a refusal in the dialog is gone with the dialog, and the next attempt is another command', async () => {
  const order = await place();
  const page = await open(`/console/orders/${order.id}`);
  await page.getByText('Live', { exact: true }).waitFor();
  const dialog = await prepare(page);
  site.front.intercept = (request, response) => {
    if (!isCommand(request)) return false;
    keys.push(String(request.headers['idempotency-key']));
    if (keys.length > 1) return false;
    const problem = { code: 'forbidden', title: 'Forbidden', detail: 'Not on a Monday.' };
    response.writeHead(403, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem));
    return true;
  };
  const confirm = dialog.getByRole('button', { name: 'Cancel order' });
  await confirm.click();
  await dialog.getByText('Not on a Monday.').waitFor();
  await confirm.click();
  await expect.poll(async () => (await read(order.id)).status).toBe('cancelled');
  expect(new Set(keys).size).toBe(2);
  await dialog.waitFor({ state: 'detached' });
  expect(await page.getByRole('alert').count()).toBe(0);
});

it('commands on several orders are all kept before the first answer', async () => {
  const orders = [await place(), await place(), await place()];
  const page = await open('/console/orders');
  for (const order of orders) await page.getByLabel(`Select order ${order.display_code}`).check();
  await page.getByRole('button', { name: 'Cancel orders' }).click();
  const dialog = page.getByRole('dialog', { name: 'Cancel 3 orders?' });
  await dialog.getByLabel('Reason').selectOption({ label: 'Ordered twice' });
  await dialog.getByText('3 orders are cancelled.').waitFor();
  loseAnswers({ carriedOut: false });
  await dialog.getByRole('button', { name: 'Cancel orders' }).click();
  await dialog.getByText('The server has not answered yet.').waitFor();
  // The commands have their reason: another one would begin other previews, and the progress would be of none.
  for (const label of ['Reason', /^Note/]) expect(await dialog.getByLabel(label).isDisabled()).toBe(true);
  await dialog.getByText('0 of 3').waitFor();
  await page.reload();
  await page.getByText('3 commands have no answer yet').waitFor();
  site.front.intercept = () => false;
  await sendNow(page);
  await page.getByText(/commands? ha(s|ve) no answer yet/).waitFor({ state: 'detached', timeout: SENT });
  for (const order of orders) expect((await read(order.id)).status).toBe('cancelled');
});

it('a command whose dialog closes before the browser has kept it is shown, and its refusal too', async () => {
  const order = await place();
  const page = await open(`/console/orders/${order.id}`);
  const dialog = await prepare(page);
  loseAnswers({ carriedOut: false });
  const unblock = await blockStorage(page);
  await dialog.getByRole('button', { name: 'Cancel order' }).click();
  await dialog.getByRole('button', { name: 'Close' }).last().click();
  await dialog.waitFor({ state: 'detached' });
  expect(keys).toEqual([]);
  await unblock();
  await page.getByText('1 command has no answer yet').waitFor();
  await accept(order.id);
  site.front.intercept = () => false;
  await sendNow(page);
  await page.getByRole('alert').getByText(`“Cancel order: ${order.display_code}” was refused`).waitFor();
  expect((await read(order.id)).status).toBe('preparing');
});

it('a command that the browser could not keep is named if its dialog is closed', async () => {
  const order = await place();
  const page = await open(`/console/orders/${order.id}`);
  const dialog = await prepare(page);
  const unblock = await blockStorage(page);
  await dialog.getByRole('button', { name: 'Cancel order' }).click();
  await dialog.getByRole('button', { name: 'Close' }).last().click();
  await page.evaluate(() => {
    IDBObjectStore.prototype.add = () => {
      throw new DOMException('full', 'QuotaExceededError');
    };
  });
  await unblock();
  await page.getByText(`The browser could not keep “Cancel order: ${order.display_code}”, so it was not sent.`).waitFor();
  expect(await accessibilityProblems(page, 'a command that was not kept')).toEqual([]);
  expect((await read(order.id)).status).toBe('confirmed');
});

it('commands on several orders are shown if the dialog closes before the browser has kept them', async () => {
  // More orders than are given at the same time: the last one is given after the dialog has closed.
  const orders = [await place(), await place(), await place(), await place(), await place()];
  const page = await open('/console/orders');
  for (const order of orders) await page.getByLabel(`Select order ${order.display_code}`).check();
  await page.getByRole('button', { name: 'Cancel orders' }).click();
  const dialog = page.getByRole('dialog', { name: 'Cancel 5 orders?' });
  await dialog.getByLabel('Reason').selectOption({ label: 'Ordered twice' });
  await dialog.getByText('5 orders are cancelled.').waitFor();
  loseAnswers({ carriedOut: false });
  const unblock = await blockStorage(page);
  await dialog.getByRole('button', { name: 'Cancel orders' }).click();
  await dialog.getByRole('button', { name: 'Close' }).last().click();
  await unblock();
  await page.getByText('5 commands have no answer yet').waitFor();
  site.front.intercept = () => false;
  await sendNow(page);
  await page.getByText(/commands? ha(s|ve) no answer yet/).waitFor({ state: 'detached', timeout: SENT });
  for (const order of orders) expect((await read(order.id)).status).toBe('cancelled');
});

it('a browser that keeps no data says that it can give no command', async () => {
  const order = await place();
  const page = await open(`/console/orders/${order.id}`);
  await page.addInitScript(() => {
    indexedDB.open = () => {
      throw new DOMException('blocked', 'SecurityError');
    };
  });
  await page.reload();
  await page.getByText('This browser keeps no data').waitFor();
  expect(await accessibilityProblems(page, 'no storage')).toEqual([]);
  const dialog = await prepare(page);
  await dialog.getByRole('button', { name: 'Cancel order' }).click();
  await dialog.getByText('The browser could not keep the command, so it was not sent.').waitFor();
  expect((await read(order.id)).status).toBe('confirmed');
});

it('dialogs say that the sign-in has ended, and what becomes of their commands, which go on after it', async () => {
  const orders = [await place(), await place()];
  const page = await open('/console/orders');
  for (const order of orders) await page.getByLabel(`Select order ${order.display_code}`).check();
  await page.getByRole('button', { name: 'Cancel orders' }).click();
  const dialog = page.getByRole('dialog', { name: 'Cancel 2 orders?' });
  await dialog.getByLabel('Reason').selectOption({ label: 'Ordered twice' });
  await dialog.getByText('2 orders are cancelled.').waitFor();
  await page.evaluate(() => fetch('/v1/session', { method: 'DELETE' }));
  await dialog.getByRole('button', { name: 'Cancel orders' }).click();
  await dialog.getByText('2 commands are kept and are sent after you sign in.').waitFor();
  await dialog.getByText('“Close” does not withdraw them.').waitFor();
  expect(await dialog.getByText('0 of 2 done').count()).toBe(0);
  expect(await dialog.locator('.spinner').count()).toBe(0);
  const link = dialog.getByRole('link', { name: 'Sign in' });
  expect(await link.getAttribute('href')).toBe(`/login#next=${encodeURIComponent('/console/orders')}`);
  expect(await link.evaluate((element) => element === document.activeElement)).toBe(true);
  expect(await accessibilityProblems(page, 'ended sign-in')).toEqual([]);
  // A sign-in in another tab lets the dialog go on.
  await site.open({ role: 'admin', path: '/', context: page.context() });
  await dialog.getByText('Done: 2. Failed: 0.').waitFor({ timeout: SENT });
  for (const order of orders) expect((await read(order.id)).status).toBe('cancelled');
});

it('a dialog for one order says so, and its link leads to the sign-in without a warning', async () => {
  const order = await place();
  const page = await open(`/console/orders/${order.id}`);
  const dialog = await prepare(page);
  await page.evaluate(() => fetch('/v1/session', { method: 'DELETE' }));
  await dialog.getByRole('button', { name: 'Cancel order' }).click();
  await dialog.getByText('1 command is kept and is sent after you sign in.').waitFor();
  let asked = false;
  page.on('dialog', (warning) => {
    asked = true;
    void warning.accept();
  });
  await dialog.getByRole('link', { name: 'Sign in' }).click();
  await page.waitForURL(/\/login/);
  expect(asked).toBe(false);
  expect((await read(order.id)).status).toBe('confirmed');
  await site.open({ role: 'admin', path: `/console/orders/${order.id}`, context: page.context() });
  await expect.poll(async () => (await read(order.id)).status, { timeout: SENT }).toBe('cancelled');
});

it('a dialog that sends at once says that nothing was sent', async () => {
  const page = await open(`/console/restaurants/${site.dabba.restaurant_id}`);
  await page.getByRole('button', { name: 'Pause', exact: true }).click();
  const dialog = page.getByRole('dialog', { name: /^Pause/ });
  await page.evaluate(() => fetch('/v1/session', { method: 'DELETE' }));
  await dialog.getByRole('button', { name: 'Pause' }).click();
  await dialog.getByText('Your sign-in has ended, so nothing was sent.').waitFor();
  await dialog.getByRole('link', { name: 'Sign in' }).waitFor();
  expect(await dialog.getByRole('alert').count()).toBe(1);
});
