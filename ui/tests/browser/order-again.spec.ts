// What follows an order: the way back to its cart, and the way to its page.
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { accessibilityProblems, smallTargets } from './accessible';
import { PHONE, placeButton, placeTracked, readyToPlace } from './customer';
import { openSite, WAIT, type Site } from './site';

let site: Site;

beforeAll(async () => {
  site = await openSite();
});
afterEach(() => site.check());
afterAll(() => site.close());

const arrives = (page: Page) => page.waitForURL(/\/t\/[^/]+$/, { timeout: WAIT });

describe('an open order', () => {
  it('is found from the start page and from the ordering page, with one link per tab', async () => {
    const { id, display_code: code } = await site.dabba.call<{ id: string; display_code: string }>(
      'customer',
      'POST',
      `/v1/restaurants/${site.dabba.restaurant_id}/orders`,
      site.dabba.order,
    );
    const links = () => site.front.requests.filter((request) => request === `POST /v1/orders/${id}/tracking-link`).length;
    const page = await site.open({ role: 'customer', options: { viewport: PHONE } });
    await page.getByRole('heading', { name: 'Your open orders' }).waitFor();
    const button = page.getByRole('button', { name: new RegExp(`Order ${code} · .*Sent to the restaurant`) });
    await button.waitFor();
    expect(await accessibilityProblems(page, 'open order')).toEqual([]);
    expect(await smallTargets(page, 44)).toEqual([]);
    await button.click();
    await arrives(page);
    await page.getByText(code).first().waitFor();
    await page.getByRole('link', { name: /^Menu of / }).click();
    const line = page.getByRole('button', { name: new RegExp(`Your order ${code} Sent to the restaurant`) });
    await line.waitFor();
    await page.getByRole('heading', { level: 3 }).first().waitFor();
    expect(await accessibilityProblems(page, 'line of the open order')).toEqual([]);
    expect(await smallTargets(page, 44)).toEqual([]);
    await line.click();
    await arrives(page);
    expect(links()).toBe(1);

    await site.dabba.call('customer', 'POST', `/v1/orders/${id}/cancel`, { reason: 'changed_mind' });
    await page.goto('/');
    await page.getByText('This device').waitFor();
    expect(await page.getByRole('button', { name: new RegExp(code) }).count()).toBe(0);
  });

  it('of somebody else is not shown to a stranger', async () => {
    const { id } = await site.dabba.placeOrder();
    const listed = () => site.front.requests.filter((request) => request.startsWith('GET /v1/orders')).length;
    const before = listed();
    const page = await site.open({ path: `/order/${site.dabba.restaurant_id}` });
    await page.getByRole('heading', { level: 3 }).first().waitFor();
    expect(await page.getByRole('button', { name: /^Your order/ }).count()).toBe(0);
    expect(listed()).toBe(before);
    await site.dabba.call('customer', 'POST', `/v1/orders/${id}/cancel`, { reason: 'changed_mind' });
  });

  it('is passed on by its link', async () => {
    const { token } = await placeTracked(site);
    const page = await site.open({ path: `/t/${token}`, options: { permissions: ['clipboard-read', 'clipboard-write'] } });
    await page.getByRole('button', { name: 'Copy link' }).click();
    await page.getByText('The link is copied.').waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(`${site.origin}/t/${token}`);
    expect(await accessibilityProblems(page, 'copied')).toEqual([]);
  });
});

describe('an order', () => {
  it('whose card is declined leaves the cart to try again, by the link and by "back"', async () => {
    const page = await readyToPlace(site);
    const declined = { level: 1, name: 'Payment not completed' } as const;
    const refilled = page.getByText(/^The items of your earlier order are in your cart again/);
    await page.getByLabel('Demo card that is declined').check();
    await placeButton(page).click();
    await arrives(page);
    await page.getByRole('heading', declined).waitFor();
    expect(await accessibilityProblems(page, 'declined')).toEqual([]);
    await page.getByRole('link', { name: 'Try again' }).click();
    await page.getByRole('heading', { name: 'Checkout' }).waitFor();
    await refilled.waitFor();
    await page.getByText('Paneer').waitFor();
    expect(await page.getByRole('group', { name: 'Quantity of Masala Dosa' }).textContent()).toContain('2');
    expect(await page.getByLabel('Street and number').inputValue()).toBe('12 Lantern Street');
    expect(await accessibilityProblems(page, 'refilled')).toEqual([]);

    await page.getByLabel('Demo card that is declined').check();
    await placeButton(page).click();
    await arrives(page);
    await page.getByRole('heading', declined).waitFor();
    await page.goBack();
    await refilled.waitFor();
    await page.getByLabel('Cash').check();
    await placeButton(page).click();
    await arrives(page);
    await page.getByRole('heading', { level: 1, name: /^Waiting for/ }).waitFor();
    await page.goBack();
    await page.getByText('Your cart is empty').waitFor();
    expect(await refilled.count()).toBe(0);
  });
});
