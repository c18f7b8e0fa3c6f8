import { randomUUID } from 'node:crypto';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { accessibilityProblems } from './accessible';
import { openSite, type Site } from './site';

/** Maximum time until a page has read again what it reads every 15 or 30 seconds, in milliseconds. */
const READ_AGAIN = 60_000;

let site: Site;
const streams = new Set<AbortController>();

beforeAll(async () => {
  process.env['DABBA_UNATTENDED_PAUSE_MINUTES'] = '30';
  site = await openSite();
});
afterEach(() => {
  for (const stream of streams) stream.abort();
  streams.clear();
  return site.check();
});
afterAll(async () => {
  delete process.env['DABBA_UNATTENDED_PAUSE_MINUTES'];
  await site.close();
});

const open = (path: string) => site.open({ role: 'admin', path });
const advance = (seconds: number) => site.dabba.call('admin', 'POST', '/v1/sandbox/clock/advance', { seconds });

/** Connects a device to the board's stream, as a kitchen does. Returns the function that ends the connection. */
async function connect(device: string): Promise<() => void> {
  const controller = new AbortController();
  streams.add(controller);
  const query = new URLSearchParams({ device_id: randomUUID(), device });
  const response = await fetch(
    `${site.dabba.address}/v1/restaurants/${site.dabba.restaurant_id}/board/stream?${query.toString()}`,
    { headers: { authorization: `Bearer ${site.dabba.tokens.restaurant}` }, signal: controller.signal },
  );
  expect(response.status).toBe(200);
  // A body that nobody reads is cancelled when it is collected.
  void response.text().catch(() => undefined);
  return () => controller.abort();
}

it('a restaurant states which devices watch its board, and since when none does', async () => {
  const page = await open(`/console/restaurants/${site.dabba.restaurant_id}`);
  // The restaurant is minutes old.
  await page.getByText('No board has been connected yet.').waitFor();
  await page.getByText('The restaurant takes orders. Nobody sees them').waitFor();
  // The list says so beside "Takes orders".
  const entries = page.getByRole('list', { name: 'Restaurants' }).getByRole('link').filter({ hasText: 'Takes orders' });
  await entries.filter({ hasText: 'Saffron Lane' }).waitFor();
  await entries.filter({ hasNotText: 'No board yet' }).first().waitFor({ state: 'detached' });
  expect(await accessibilityProblems(page, 'no boards')).toEqual([]);

  // The kitchen's page, and a device whose name is markup.
  const kitchen = await site.open({ role: 'restaurant', path: `/kitchen/${site.dabba.restaurant_id}` });
  const disconnect = await connect('<b>Pass</b>');
  await page.getByText('2 boards are watching.').waitFor({ timeout: READ_AGAIN });
  const rows = page.getByRole('table', { name: 'Boards' }).getByRole('row');
  await rows.filter({ hasText: '<b>Pass</b>' }).getByText('Watching').waitFor();
  await entries.filter({ hasText: 'Saffron Lane' }).filter({ hasText: 'No board yet' }).waitFor({ state: 'detached', timeout: READ_AGAIN });
  await rows.filter({ hasText: 'Mina Shah' }).filter({ hasNotText: '<b>Pass</b>' }).getByText('Watching').waitFor();
  expect(await accessibilityProblems(page, 'boards')).toEqual([]);
  expect(await page.getByText('Unattended since').count()).toBe(0);

  await kitchen.context().close();
  await page.getByText('1 board is watching.').waitFor({ timeout: READ_AGAIN });
  disconnect();
  await page.getByText(/^No board has been watching since \d\d:\d\d\.$/).waitFor({ timeout: READ_AGAIN });
  await rows.filter({ hasText: '<b>Pass</b>' }).getByText(/Last seen \d\d:\d\d/).waitFor();
  // The heading and the list state it too.
  await page.getByText(/Unattended since \d\d:\d\d/).first().waitFor({ timeout: READ_AGAIN });
  expect(await accessibilityProblems(page, 'unattended')).toEqual([]);
  await page.getByRole('table', { name: 'Boards' }).getByRole('link', { name: 'Mina Shah' }).first().click();
  await page.getByRole('heading', { level: 2, name: 'Mina Shah' }).waitFor();
}, 400_000);

/** Reloads the page until it shows a text: the page itself reads the list only every 30 seconds. */
async function reloadUntil(page: Page, text: string): Promise<void> {
  const shown = async () => {
    await page.reload();
    await page.getByText('Loading …').waitFor({ state: 'detached' });
    return page.getByText(text).first().isVisible();
  };
  await expect.poll(shown, { timeout: READ_AGAIN, interval: 1_000 }).toBe(true);
}

it('unattended restaurants can be listed, and a pause by Dabba is named', async () => {
  const disconnect = await connect('Counter');
  const page = await open('/console/restaurants');
  await page.getByRole('button', { name: 'Unattended' }).click();
  await reloadUntil(page, 'No restaurants here');
  await page.getByRole('button', { name: 'In business' }).click();
  disconnect();
  await reloadUntil(page, 'Unattended since');
  await page.getByRole('button', { name: 'Unattended' }).click();
  await page.waitForURL((url) => url.search === '?show=unattended');
  const list = page.getByRole('list', { name: 'Restaurants' });
  await list.getByRole('link', { name: /Saffron Lane/ }).waitFor();
  await list.getByRole('link', { name: /Harbour Noodles/ }).waitFor({ state: 'detached' });
  await expect.poll(() => list.getByRole('link').count()).toBe(1);
  expect(await accessibilityProblems(page, 'unattended restaurants')).toEqual([]);

  await advance(31 * 60);
  await reloadUntil(page, 'Paused by Dabba: unattended');
  await list.getByRole('link', { name: /Saffron Lane/ }).click();
  await page.getByText('Until a board connects, or a person resumes it').waitFor();
  expect(await accessibilityProblems(page, 'paused by Dabba')).toEqual([]);
  await page.getByRole('button', { name: 'Paused', exact: true }).click();
  await list.getByRole('link', { name: /Saffron Lane/ }).waitFor();

  await connect('Counter');
  await reloadUntil(page, 'No restaurants here');
}, 400_000);

it('a restaurant’s page shows Dabba’s pause without a reload, and ends it at the version that it shows', async () => {
  const page = await open(`/console/restaurants/${site.dabba.restaurant_id}`);
  const commands = page.getByRole('group', { name: 'Commands' });
  const resume = commands.getByRole('button', { name: 'Resume' });
  const disconnect = await connect('Counter');
  await page.getByText('1 board is watching.').waitFor({ timeout: READ_AGAIN });
  disconnect();
  await page.getByText(/^No board has been watching since/).waitFor({ timeout: READ_AGAIN });
  await commands.getByRole('button', { name: 'Pause', exact: true }).waitFor();
  await advance(31 * 60);
  await resume.waitFor({ timeout: READ_AGAIN });
  await page.getByText('Until a board connects, or a person resumes it').waitFor();
  // The list beside it agrees at once.
  await page.getByRole('list', { name: 'Restaurants' }).getByText('Paused by Dabba: unattended').waitFor();
  await resume.click();
  await page.getByRole('dialog').getByRole('button', { name: 'Resume' }).click();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await commands.getByRole('button', { name: 'Pause', exact: true }).waitFor();

  // Another admin pauses the restaurant while a dialog is open: the command is refused, and the page then shows the pause.
  await commands.getByRole('button', { name: 'Pause', exact: true }).click();
  await site.dabba.call('admin', 'POST', `/v1/restaurants/${site.dabba.restaurant_id}/pause`, {});
  const dialog = page.getByRole('dialog', { name: /^Pause / });
  await dialog.getByRole('button', { name: 'Pause', exact: true }).click();
  await dialog.getByRole('alert').waitFor();
  await dialog.getByRole('button', { name: 'Back' }).click();
  await resume.waitFor({ timeout: 10_000 });
  await site.dabba.call('admin', 'POST', `/v1/restaurants/${site.dabba.restaurant_id}/resume`, {});
}, 400_000);
