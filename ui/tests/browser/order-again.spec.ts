// What follows an order: the way back to its cart, and the way to its page.
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { accessibilityProblems } from './accessible';
import { placeButton, readyToPlace } from './customer';
import { openSite, WAIT, type Site } from './site';

let site: Site;

beforeAll(async () => {
  site = await openSite();
});
afterEach(() => site.check());
afterAll(() => site.close());

const arrives = (page: Page) => page.waitForURL(/\/t\/[^/]+$/, { timeout: WAIT });

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
