// A restaurant that charges two fees beside the delivery, adds one tax to its prices, and includes another one.
import type { Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { accessibilityProblems } from './accessible';
import { billRows, plain } from './bill';
import { fillCart, openMenu, PHONE, placeTracked } from './customer';
import { openSite, type Site } from './site';

const CHARGES = {
  tax_rate_basis_points: 0,
  taxes: [
    { id: 'vat', name: 'VAT', authority: 'Revenue', rate: '20', included: 'net' },
    { id: 'city', name: 'City tax', authority: 'City of London', rate: '8.875', remitted_by: 'platform' },
  ],
  fees: [
    { id: 'service', name: 'رسم الخدمة', kind: 'service', rate: '5', taxes: ['vat'], receiver: 'restaurant' },
    { id: 'bag', name: '<b>Bag</b> levy', kind: 'packaging', amount: 25, receiver: 'authority' },
  ],
};
const NAMES = ['رسم الخدمة', '<b>Bag</b> levy', 'City tax 8.875%'];
const INCLUDED = /^Includes VAT 20%: £\d+\.\d\d$/;

let site: Site;

beforeAll(async () => {
  site = await openSite();
  const path = `/v1/restaurants/${site.dabba.restaurant_id}`;
  const settings = await site.dabba.call<object>('admin', 'GET', path);
  const response = await fetch(site.dabba.address + path, {
    method: 'PUT',
    headers: { authorization: `Bearer ${site.dabba.tokens.admin}`, 'content-type': 'application/json', 'if-match': '*' },
    body: JSON.stringify({ ...settings, ...CHARGES }),
  });
  if (!response.ok) throw new Error(await response.text());
});
afterEach(() => site.check());
afterAll(() => site.close());

/** Fails unless a bill names every fee and tax, and adds up to its total. */
async function checkBill(list: Locator): Promise<void> {
  const rows = await billRows(list);
  const minor = (text: string | undefined) => Math.round(Number(text?.replace(/[^\d.]/g, '')) * 100);
  const total = rows.pop();
  expect(total?.[0]).toBe('Total');
  expect(rows.map(([name]) => name)).toEqual(expect.arrayContaining(['Items', 'Delivery', ...NAMES]));
  expect(rows.reduce((sum, [, amount]) => sum + minor(amount), 0)).toBe(minor(total?.[1]));
}

/** Whether an element says which tax its prices include. */
const statesIncluded = async (page: Page) => INCLUDED.test(plain((await page.getByText('Includes').first().textContent()) ?? ''));

describe('the bill', () => {
  it('of a cart', async () => {
    const page = await openMenu(site);
    await fillCart(page);
    await page.getByRole('button', { name: /^View cart/ }).click();
    await checkBill(page.locator('dl').filter({ hasText: 'Total' }).last());
    expect(await statesIncluded(page)).toBe(true);
    expect(await accessibilityProblems(page, 'cart')).toEqual([]);
  });

  it('of an order that the customer tracks', async () => {
    const { token } = await placeTracked(site);
    const page = await site.open({ path: `/t/${token}`, options: { viewport: PHONE } });
    await checkBill(page.locator('dl').filter({ hasText: 'Total' }));
    expect(await statesIncluded(page)).toBe(true);
    expect(await accessibilityProblems(page, 'tracking')).toEqual([]);
  });

  it('of an order in the console, with its fees, taxes, refunds and ledger', async () => {
    const { id } = await site.dabba.placeOrder();
    const { call } = site.dabba;
    await call('restaurant', 'POST', `/v1/orders/${id}/accept`, { preparation_minutes: 20 });
    await call('restaurant', 'POST', `/v1/orders/${id}/ready`);
    await call('courier', 'POST', `/v1/orders/${id}/assign`, {});
    await call('courier', 'POST', `/v1/orders/${id}/pick-up`);
    await call('courier', 'POST', `/v1/orders/${id}/deliver`, {});
    await call('admin', 'POST', `/v1/orders/${id}/refund`, { reason: 'missing_item', lines: [{ line: 0, quantity: 1 }] });
    const page = await site.open({ role: 'admin', path: `/console/orders/${id}` });
    await checkBill(page.locator('dl').filter({ hasText: 'Total' }));
    expect(await statesIncluded(page)).toBe(true);
    const cells = async (name: string) =>
      (await page.getByRole('table', { name }).getByRole('row').allTextContents()).map((row) => plain(row).replace(/\s+/g, ' ').trim());
    const [, ...fees] = await cells('Fees');
    expect(fees.join('\n')).toMatch(/رسم الخدمة ?Restaurant ?£[\d.]+\n<b>Bag<\/b> levy ?Authority \(levies\) ?£0\.25$/);
    const [, vat, city] = await cells('Taxes');
    expect(vat).toMatch(/^VAT 20% ?£[\d.]+ ?£[\d.]+ ?Tax included, rate on the net price ?Restaurant ?Revenue$/);
    expect(city).toMatch(/^City tax 8\.875% ?£[\d.]+ ?£[\d.]+ ?Tax added ?Platform ?City of London$/);
    const refunds = await page.getByRole('list', { name: 'Refunds' }).textContent();
    expect(plain(refunds ?? '')).toMatch(/Taxes returned: VAT 20% £[\d.]+, City tax 8\.875% £[\d.]+/);
    expect(await accessibilityProblems(page, 'overview')).toEqual([]);
    await page.getByRole('link', { name: 'Ledger' }).click();
    const balances = (await cells('Balances')).join('\n');
    for (const account of ['Tax office: VAT 20%', 'Tax office: City tax 8.875%', 'Authority (levies)']) expect(balances).toContain(account);
    expect(await accessibilityProblems(page, 'ledger')).toEqual([]);
  });
});
