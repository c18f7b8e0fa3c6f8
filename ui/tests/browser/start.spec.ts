import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { accessibilityProblems, smallTargets } from './accessible';
import { PHONE } from './customer';
import type { Role } from './dabba';
import { waitUntilKept } from './kept';
import { openSite, type Site } from './site';

let site: Site;

beforeAll(async () => {
  site = await openSite();
});
afterEach(() => {
  site.front.intercept = () => false;
  return site.check();
});
afterAll(() => site.close());

describe('the start page', () => {
  it('offers sign-in and the restaurants to a stranger', async () => {
    const page = await site.open({ path: '/' });
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.locator('a[href^="/order/"]').first().waitFor();
    expect(await page.getByRole('link', { name: 'Sign in' }).getAttribute('href')).toBe('/login');
    expect(await accessibilityProblems(page, 'signed out')).toEqual([]);
    expect(await smallTargets(page, 44)).toEqual([]);
  });

  it('asks once who is signed in', async () => {
    const before = site.front.requests.length;
    const page = await site.open({ path: '/' });
    await page.locator('a[href^="/order/"]').first().waitFor();
    // An answer that led to another question would keep the network busy.
    await page.waitForLoadState('networkidle');
    expect(site.front.requests.slice(before).filter((request) => request === 'GET /v1/session')).toHaveLength(1);
  });

  it.each<[Role, string]>([
    ['restaurant', 'a[href="/kitchen/RESTAURANT"]'],
    ['admin', 'a[href="/console"]'],
    ['admin', 'a[href="/kitchen/RESTAURANT"]'],
    ['customer', 'a[href="/order/RESTAURANT"]'],
    ['courier', 'text=No page for couriers yet'],
  ])('shows the role %s its pages: %s', async (role, selector) => {
    const page = await site.open({ role });
    await page.locator(selector.replace('RESTAURANT', site.dabba.restaurant_id)).waitFor();
    await page.getByText('This device').waitFor();
    expect(await accessibilityProblems(page, role)).toEqual([]);
    expect(await smallTargets(page, 44)).toEqual([]);
  });

  it('cuts nothing on a phone', async () => {
    const page = await site.open({ role: 'restaurant', options: { viewport: PHONE } });
    await page.getByText('This device').waitFor();
    const cut = await page.evaluate(() =>
      [...document.querySelectorAll('main *')]
        .filter((element) => ['auto', 'scroll'].includes(getComputedStyle(element).overflowX))
        .filter((element) => element.scrollWidth > element.clientWidth)
        .map((element) => element.outerHTML.slice(0, 120)),
    );
    expect(cut).toEqual([]);
    const right = await page.getByRole('button', { name: /^Revoke/ }).last().evaluate((button) => button.getBoundingClientRect().right);
    expect(right).toBeLessThanOrEqual(PHONE.width);
  });

  it('revokes the session of another device after a confirmation', async () => {
    const other = await site.open({ role: 'restaurant', options: { userAgent: 'Mozilla/5.0 (iPad) Safari/604.1' } });
    await other.getByText('This device').waitFor();
    const page = await site.open({ role: 'restaurant' });
    await page.getByRole('button', { name: 'Revoke the sign-in on Safari on iPad' }).click();
    const dialog = page.getByRole('dialog', { name: 'Revoke this sign-in?' });
    await dialog.waitFor();
    expect(await accessibilityProblems(page, 'confirmation')).toEqual([]);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'hidden' });
    await page.getByRole('button', { name: 'Revoke the sign-in on Safari on iPad' }).click();
    await dialog.getByRole('button', { name: 'Revoke' }).click();
    await page.getByText(/^The sign-in on .?Safari on iPad.? was revoked\.$/).waitFor();
    await other.reload();
    await other.getByRole('link', { name: 'Sign in' }).waitFor();
  });

  it('repeats a revocation that failed from its question', async () => {
    const other = await site.open({ role: 'courier', options: { userAgent: 'Mozilla/5.0 (iPad) Safari/604.1' } });
    await other.getByText('This device').waitFor();
    const page = await site.open({ role: 'courier' });
    await page.getByText('This device').waitFor();
    const shown = page.getByRole('button', { name: /^Revoke the sign-in on/ });
    const before = await shown.count();
    const { intercept } = site.front;
    site.front.intercept = (request, response) => {
      if (request.method !== 'DELETE') return false;
      response.writeHead(503).end();
      return true;
    };
    await page.getByRole('button', { name: 'Revoke the sign-in on Safari on iPad' }).click();
    const dialog = page.getByRole('dialog', { name: 'Revoke this sign-in?' });
    await dialog.getByRole('button', { name: 'Revoke' }).click();
    await dialog.getByText('The server answered with status 503.').waitFor();
    expect(await accessibilityProblems(page, 'failed revocation')).toEqual([]);
    site.front.intercept = intercept;
    await dialog.getByRole('button', { name: 'Revoke' }).click();
    await dialog.waitFor({ state: 'hidden' });
    await expect.poll(() => shown.count()).toBe(before - 1);
  });

  it('signs out, and this browser keeps nothing of the account', async () => {
    const page = await site.open({ role: 'restaurant' });
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('link', { name: 'Sign in' }).waitFor();
    // The page shows that nobody is signed in before the browser has deleted the database.
    await expect.poll(() => page.evaluate(async () => (await indexedDB.databases()).map(({ name }) => name))).toEqual([]);
    await page.reload();
    await page.getByRole('link', { name: 'Sign in' }).waitFor();
  });

  it('signs out without a network, and the server follows when there is one', async () => {
    const page = await site.open({ role: 'restaurant' });
    await page.getByText('This device').waitFor();
    const context = page.context();
    site.front.disconnect();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('link', { name: 'Sign in' }).waitFor();
    site.front.connect();
    const next = await site.open({ context });
    await next.getByRole('link', { name: 'Sign in' }).waitFor();
    expect(site.front.requests).toContain('DELETE /v1/session');
    const cookies = await context.cookies();
    expect(cookies.filter((cookie) => cookie.name.endsWith('dabba'))).toEqual([]);
  });

  it('starts without the server after a reload, and says that it is not confirmed', async () => {
    const page = await site.open({ role: 'restaurant' });
    await page.getByText('This device').waitFor();
    await waitUntilKept(page, '/');
    site.front.disconnect();
    await page.reload();
    await page.getByText('You see what this device last knew.').waitFor();
    expect(await accessibilityProblems(page, 'unconfirmed')).toEqual([]);
    site.front.connect();
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('This device').waitFor();
  });
});
