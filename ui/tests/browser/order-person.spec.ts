// The account of a person who orders, what the browser keeps of them, and what the next person finds.
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  customerOrders,
  fillAccount,
  fillAddress,
  fillCart,
  openCheckout,
  openMenu,
  placeButton,
  readyToPlace,
  register,
} from './customer';
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

  it('who takes the place of somebody else without a reload gets neither name nor address nor cart', async () => {
    const page = await openMenu(site, { signedIn: true });
    await fillCart(page);
    await openCheckout(page);
    const name = page.getByRole('textbox', { name: 'Name', exact: true });
    await expect.poll(() => name.inputValue()).not.toBe('');
    const suggested = await name.inputValue();
    await page.getByLabel('Street and number').fill('12 Lantern Street');
    await page.getByLabel('Town').fill('London');
    await page.context().clearCookies();
    await placeButton(page).click();
    await page.getByText('Sign in again to finish your order.').waitFor();
    await page.getByLabel('Town').fill('Leeds');
    await page.getByLabel('I am new here').check();
    expect(await page.getByLabel('Your name').inputValue()).toBe('');
    await page.getByLabel('Your name').fill('Berta Berg');
    await fillAccount(page);
    await page.getByRole('button', { name: 'Create account' }).click();
    // Nothing is left in the cart, and the checkout says so instead of showing its fields.
    await page.getByText('Your cart is empty').waitFor();
    expect(await kept(page)).not.toMatch(/Lantern/);
    await page.getByRole('link', { name: 'Back to the menu' }).click();
    await fillCart(page);
    await openCheckout(page);
    expect(await name.inputValue()).toBe('Berta Berg');
    expect(suggested).not.toBe('Berta Berg');
    expect(await page.getByLabel('Street and number').inputValue()).toBe('');
    expect(await page.getByLabel('Town').inputValue()).toBe('Leeds');
  });
});

describe('two tabs', () => {
  it('with the same cart place one order, also on a bad network', async () => {
    const before = (await customerOrders(site)).length;
    const first = await readyToPlace(site);
    const second = await site.open({ context: first.context(), path: `/order/${site.dabba.restaurant_id}#checkout` });
    await fillAddress(second);
    await placeButton(second).waitFor();
    const keys = new Set<unknown>();
    site.front.intercept = (request, response) => {
      if (request.method !== 'POST' || !request.url?.endsWith('/orders')) return false;
      keys.add(request.headers['idempotency-key']);
      response.writeHead(503).end();
      return true;
    };
    for (const page of [first, second]) {
      await expect.poll(() => placeButton(page).isEnabled()).toBe(true);
      await placeButton(page).click();
      await page.getByText('This page keeps trying.').waitFor();
    }
    expect(keys.size).toBe(1);
    site.front.intercept = () => false;
    for (const page of [first, second]) await page.waitForURL(/\/t\/[^/]+$/, { timeout: WAIT });
    expect((await customerOrders(site)).length).toBe(before + 1);
  });
});

describe('staff who sign out', () => {
  it('get their cart back at once, and lose nothing that is added while the sign-out is under way', async () => {
    const page = await site.open({ role: 'restaurant', path: `/order/${site.dabba.restaurant_id}` });
    await page.getByRole('button', { name: 'Add Lemon Rice' }).click();
    await page.getByRole('link', { name: 'Go to checkout' }).click();
    let answer: () => void = () => undefined;
    const answered = new Promise<void>((resolve) => (answer = resolve));
    site.front.intercept = async (request) => {
      if (request.method === 'DELETE') await answered;
      return false;
    };
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('group', { name: 'Quantity of Lemon Rice' }).getByRole('button', { name: 'More' }).click();
    answer();
    await page.waitForFunction(() => localStorage.getItem('dabba.sign-out-pending') === null);
    await page.getByRole('button', { name: 'Remove Lemon Rice' }).waitFor();
    await page.reload();
    await page.getByRole('button', { name: 'Remove Lemon Rice' }).waitFor();
    await page.getByRole('group', { name: 'Quantity of Lemon Rice' }).getByText('2', { exact: true }).waitFor();
  });
});
