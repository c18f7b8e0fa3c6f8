// The account of a person who orders, what the browser keeps of them, and what the next person finds.
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { fillAccount, fillAddress, fillCart, openCheckout, openMenu, placeButton, register } from './customer';
import { openSite, WAIT, type Site } from './site';

let site: Site;

beforeAll(async () => {
  site = await openSite();
});
afterEach(() => {
  site.front.intercept = () => false;
  return site.check();
});
afterAll(() => site.close());

describe('a newcomer', () => {
  it('whose answers get lost needs no other address', async () => {
    const page = await openMenu(site);
    await fillCart(page);
    await openCheckout(page);
    await fillAddress(page);
    const email = await fillAccount(page);
    const create = page.getByRole('button', { name: 'Create account' });
    site.front.intercept = (request, response) => {
      if (request.method === 'POST' && request.url === '/v1/accounts') response.once('pipe', () => response.destroy());
      return false;
    };
    await create.click();
    await page.getByText('The server cannot be reached.').waitFor();
    expect(await placeButton(page).count()).toBe(0);
    site.front.intercept = () => false;
    // A reload forgets the request, and the account is there.
    await page.reload();
    await fillAccount(page, email);
    await create.click();
    await placeButton(page).waitFor();
  });

  it('with the address of somebody else says so', async () => {
    const account = { email: 'asha@dabba.test', password: 'a password of somebody else', name: 'Asha Rao' };
    await site.dabba.call(undefined, 'POST', '/v1/accounts', account);
    const page = await openMenu(site);
    await fillCart(page);
    await openCheckout(page);
    await fillAddress(page);
    await fillAccount(page, account.email);
    await page.getByRole('button', { name: 'Create account' }).click();
    await page.getByText('There is an account with this address already.').waitFor();
    await page.waitForFunction(() => document.activeElement?.getAttribute('type') === 'email');
  });
});

describe('a person', () => {
  /** What the browser keeps for this origin and in this tab. */
  const kept = (page: Page) =>
    page.evaluate(() => [localStorage, sessionStorage].flatMap((area) => Object.entries(area)).join('\n'));

  async function checkedOut(): Promise<Page> {
    const page = await openMenu(site);
    await fillCart(page);
    await openCheckout(page);
    await fillAddress(page);
    await register(page);
    expect(await kept(page)).toContain('Lantern');
    return page;
  }

  it('who signs out leaves nothing to the next person in the tab', async () => {
    const page = await checkedOut();
    // Another page than the one that has kept it.
    await page.goto('/');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('link', { name: 'Sign in' }).waitFor();
    expect(await kept(page)).not.toMatch(/dabba\.(order|tracking)|Lantern|Asha/);
    await page.goto(`/order/${site.dabba.restaurant_id}`);
    await page.getByRole('heading', { level: 3 }).first().waitFor();
    expect(await page.getByRole('button', { name: /^View cart/ }).count()).toBe(0);
    await fillCart(page);
    await openCheckout(page);
    expect(await page.getByLabel('Street and number').inputValue()).toBe('');
  });

  it('who signs out elsewhere leaves nothing in a tab that shows the order', async () => {
    const page = await checkedOut();
    await placeButton(page).click();
    await page.waitForURL(/\/t\/[^/]+$/, { timeout: WAIT });
    const other = await site.open({ context: page.context(), path: '/' });
    await other.getByRole('button', { name: 'Sign out' }).click();
    await other.getByRole('link', { name: 'Sign in' }).waitFor();
    await page.goto(`/order/${site.dabba.restaurant_id}`);
    await page.getByRole('heading', { level: 3 }).first().waitFor();
    expect(await kept(page)).not.toMatch(/Lantern/);
  });

  it('who takes the place of somebody else keeps only what is their own', async () => {
    const page = await checkedOut();
    // The session has ended without a sign-out.
    await page.context().clearCookies();
    await page.reload();
    await page.getByLabel('Town').fill('Leeds');
    await page.getByRole('link', { name: 'Back to the menu' }).click();
    await page.getByRole('button', { name: 'Add Cardamom Tea' }).click();
    await openCheckout(page);
    await register(page);
    expect(await page.getByLabel('Street and number').inputValue()).toBe('');
    expect(await page.getByLabel('Town').inputValue()).toBe('Leeds');
    await page.getByRole('button', { name: 'Remove Cardamom Tea' }).waitFor();
    expect(await page.getByRole('button', { name: /^Remove/ }).count()).toBe(1);
    expect(await kept(page)).not.toMatch(/Lantern/);
  });
});
