// What an ordering page learns while it stays open.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { CLOSED_INTERVAL } from '../../src/order/watch';
import { accessibilityProblems } from './accessible';
import { fillCart, openMenu, STEPS } from './customer';
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

/** Maximum time until a page that stays visible shows a change, in milliseconds: a minute, with an allowance. */
const FOLLOWED = 80_000;

it('a page that stays visible follows the open order and the menu within a minute', async () => {
  const { id } = await site.dabba.placeOrder();
  const path = `/v1/restaurants/${site.dabba.restaurant_id}/menu`;
  const answers: number[] = [];
  site.front.intercept = (request, response) => {
    if (request.url === path) response.once('finish', () => answers.push(response.statusCode));
    return false;
  };
  const page = await openMenu(site, { signedIn: true });
  const banner = page.getByRole('region', { name: 'Your open order' });
  await banner.getByText('Sent to the restaurant').waitFor();
  await page.getByRole('button', { name: 'Choose Masala Dosa' }).click();
  const dialog = page.getByRole('dialog', { name: 'Masala Dosa' });
  await dialog.waitFor();
  await STEPS.accept(site, id);
  const set = (item: string, status: string) =>
    site.dabba.call('restaurant', 'PUT', `${path}/items/${item}/availability`, { status });
  await set('masala-dosa', 'unavailable');
  try {
    await dialog.getByText('Not available at the moment').waitFor({ timeout: FOLLOWED });
    expect(await dialog.getByRole('button', { name: /^Add for/ }).isDisabled()).toBe(true);
    expect(await accessibilityProblems(page, 'unavailable item')).toEqual([]);
    await page.keyboard.press('Escape');
    expect(await page.getByRole('button', { name: 'Choose Masala Dosa' }).count()).toBe(0);
    await banner.getByText('Sent to the restaurant').waitFor({ state: 'detached', timeout: FOLLOWED });
    // The server does not repeat an unchanged menu.
    await expect.poll(() => answers.at(-1), { timeout: FOLLOWED }).toBe(304);
  } finally {
    await set('masala-dosa', 'available');
    site.front.intercept = () => false;
  }
}, 300_000);
