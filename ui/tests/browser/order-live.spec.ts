// What an ordering page learns while it stays open.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { CLOSED_INTERVAL } from '../../src/order/watch';
import { accessibilityProblems } from './accessible';
import { fillCart, openMenu } from './customer';
import { openSite, type Site } from './site';

let site: Site;

beforeAll(async () => {
  site = await openSite();
});
afterEach(() => site.check());
afterAll(() => site.close());

it('a page that stays open learns that the restaurant pauses and resumes, and keeps the cart', async () => {
  const page = await openMenu(site);
  await page.getByText('Open', { exact: true }).waitFor();
  await fillCart(page);
  const restaurant = `/v1/restaurants/${site.dabba.restaurant_id}`;
  await site.dabba.call('restaurant', 'POST', `${restaurant}/pause`, {});
  try {
    await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
    await page.getByText('This restaurant takes no orders at the moment.').waitFor();
    expect(await accessibilityProblems(page, 'paused')).toEqual([]);
  } finally {
    await site.dabba.call('restaurant', 'POST', `${restaurant}/resume`);
  }
  await page.getByText('Open', { exact: true }).waitFor({ timeout: 2 * CLOSED_INTERVAL });
  await page.getByRole('button', { name: /^View cart · 3 items/ }).click();
  const cart = page.getByRole('dialog', { name: 'Your cart' });
  await cart.getByText('Total').waitFor();
  await cart.getByText(/takes no orders/).waitFor({ state: 'detached' });
});
