import type { Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { accessibilityProblems, smallTargets } from './accessible';
import {
  customerOrders,
  fillAddress,
  fillCart,
  openCheckout,
  openMenu,
  placeButton,
  readyToPlace,
  register,
  SCRIPT,
  signInAgain,
  translate,
  wasHacked,
} from './customer';
import type { Interceptor } from './front';
import { openSite, WAIT, type Site } from './site';

let site: Site;
let intercept: Interceptor;

beforeAll(async () => {
  site = await openSite();
  intercept = site.front.intercept;
});
afterEach(async () => {
  site.front.intercept = intercept;
  await site.check();
});
afterAll(() => site.close());

const arrives = (page: Page) => page.waitForURL(/\/t\/[^/]+$/, { timeout: WAIT });

/** Changes the menu while `action` runs, and restores it. */
async function withMenu(change: (menu: Menu) => void, action: () => Promise<void>): Promise<void> {
  const path = `/v1/restaurants/${site.dabba.restaurant_id}/menu`;
  const menu = await site.dabba.call<Menu>(undefined, 'GET', path);
  const changed = structuredClone(menu);
  change(changed);
  await putMenu(changed);
  try {
    await action();
  } finally {
    await putMenu(menu);
  }
}

async function putMenu(menu: Menu): Promise<void> {
  const response = await fetch(`${site.dabba.address}/v1/restaurants/${site.dabba.restaurant_id}/menu`, {
    method: 'PUT',
    headers: {
      authorization: `Bearer ${site.dabba.tokens.restaurant}`,
      'content-type': 'application/json',
      'if-match': '*',
    },
    body: JSON.stringify(menu),
  });
  if (!response.ok) throw new Error(await response.text());
}

/** Answers instead of the server to every request that places an order, until the returned function is called. */
function interceptOrders(answer: Interceptor): () => void {
  site.front.intercept = async (request, response) => {
    if (request.method === 'POST' && request.url?.endsWith('/orders') && (await answer(request, response))) return true;
    return intercept(request, response);
  };
  return () => {
    site.front.intercept = intercept;
  };
}

/** Lets every order reach the server, and loses the answers. */
const loseAnswers = () =>
  interceptOrders((_, response) => {
    response.once('pipe', () => response.destroy());
    return false;
  });

/** Lets no order reach the server. */
const refuseOrders = () =>
  interceptOrders((_, response) => {
    response.writeHead(503).end();
    return true;
  });

/** Makes the attempt that the page keeps older, as if the customer came back later. */
async function ageAttempt(page: Page): Promise<void> {
  await page.evaluate(() => {
    for (const key of Object.keys(localStorage).filter((name) => name.includes('attempt'))) {
      const attempt = JSON.parse(localStorage.getItem(key) ?? '') as { startedAt: number; sentAt: number };
      const [startedAt, sentAt] = [attempt.startedAt - 600_000, attempt.sentAt - 600_000];
      localStorage.setItem(key, JSON.stringify({ ...attempt, startedAt, sentAt }));
    }
  });
}

interface Menu {
  categories: {
    name: string;
    items: {
      id: string;
      name: string;
      description?: string;
      price_minor: number;
      tags: string[];
      option_groups: { name: string; options: { name: string }[] }[];
    }[];
  }[];
}

describe('the menu', () => {
  it('is complete, searchable and accessible', async () => {
    const page = await openMenu(site);
    expect(await accessibilityProblems(page, 'menu')).toEqual([]);
    expect(await smallTargets(page, 44)).toEqual([]);
    expect(await page.getByRole('heading', { level: 3 }).count()).toBe(12);
    await page.getByLabel('Search the menu').fill('CREPE');
    await page.getByText('1 item found').waitFor();
    await page.getByRole('heading', { name: 'Masala Dosa' }).waitFor();
    await page.getByLabel('Search the menu').fill('pizza');
    await page.getByText('Nothing on the menu matches “pizza”.').waitFor();
    expect(await accessibilityProblems(page, 'nothing found')).toEqual([]);
  });

  it('leads from the categories to their items by keyboard', async () => {
    const page = await openMenu(site);
    await page.getByRole('link', { name: 'Sweets and Drinks' }).focus();
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.activeElement?.textContent === 'Sweets and Drinks');
    await page.keyboard.press('Tab');
    const section = await page.evaluate(() => document.activeElement?.closest('section')?.querySelector('h2')?.textContent);
    expect(section).toBe('Sweets and Drinks');
    await page.getByRole('button', { name: 'Add Cardamom Tea' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: /^View cart · 1 item/ }).waitFor();
    expect(new URL(page.url()).hash).toBe('');
  });

  it('shows items that are not available, until when, and does not offer them', async () => {
    const path = `/v1/restaurants/${site.dabba.restaurant_id}/menu/items/cardamom-tea/availability`;
    const until = new Date(Date.now() + 2 * 3_600_000).toISOString();
    await site.dabba.call('restaurant', 'PUT', path, { status: 'unavailable', until });
    const page = await openMenu(site);
    await page.getByRole('article').filter({ hasText: 'Cardamom Tea' }).getByText(/^Not available until/).waitFor();
    expect(await page.getByRole('button', { name: 'Add Cardamom Tea' }).count()).toBe(0);
    await site.dabba.call('restaurant', 'PUT', path, { status: 'available' });
  });

  it('insists on required options and stops at the maximum', async () => {
    const page = await openMenu(site);
    await page.getByRole('button', { name: 'Choose Masala Dosa' }).click();
    const dialog = page.getByRole('dialog', { name: 'Masala Dosa' });
    await dialog.getByRole('button', { name: /^Add for/ }).click();
    await dialog.getByText('Choose here first.').waitFor();
    expect(await accessibilityProblems(page, 'options')).toEqual([]);
    await dialog.getByLabel(/Coconut/).check();
    await dialog.getByLabel(/Tomato/).check();
    expect(await dialog.getByLabel(/Peanut/).isDisabled()).toBe(true);
    await dialog.getByLabel(/Coconut/).uncheck();
    expect(await dialog.getByLabel(/Peanut/).isDisabled()).toBe(false);
  });

  it('of an unknown restaurant says so', async () => {
    for (const id of ['00000000-0000-7000-8000-000000000000', 'nonsense']) {
      const page = await site.open({ path: `/order/${id}` });
      await page.getByText('There is no restaurant at this address').waitFor();
    }
  });

  it('speaks Arabic from right to left', async () => {
    const page = await openMenu(site, { options: { locale: 'ar' } });
    expect(await page.evaluate(() => document.documentElement.dir)).toBe('rtl');
    expect(await accessibilityProblems(page, 'Arabic menu')).toEqual([]);
  });
});

describe('the cart', () => {
  it('survives a reload, and its price is the server’s', async () => {
    const page = await openMenu(site);
    await fillCart(page);
    await page.reload();
    await page.getByRole('button', { name: /^View cart · 3 items/ }).click();
    const cart = page.getByRole('dialog', { name: 'Your cart' });
    await cart.getByText('Total').waitFor();
    expect(await accessibilityProblems(page, 'cart')).toEqual([]);
    await cart.getByRole('group', { name: 'Quantity of Lemon Rice' }).getByRole('button', { name: 'More' }).click();
    const price = cart.locator('dl dd').first();
    const quoted = await price.textContent();
    await cart.getByRole('button', { name: 'Remove Lemon Rice' }).click();
    await page.waitForFunction(
      ([selector, old]) => document.querySelector(selector ?? '')?.textContent !== old,
      ['dialog dl dd', quoted],
    );
    // The keyboard goes on at the line that is left.
    await page.waitForFunction(() => document.activeElement?.ariaLabel === 'Remove Masala Dosa');
    await page.keyboard.press('Enter');
    await cart.getByText('Your cart is empty').waitFor();
    expect(await accessibilityProblems(page, 'empty cart')).toEqual([]);
  });

  it('whose price could not be read is priced again, also at once', async () => {
    const page = await openMenu(site);
    let failing = true;
    site.front.intercept = (request, response) => {
      if (!failing || !request.url?.endsWith('/quotes')) return false;
      response.writeHead(503, { 'retry-after': '600' }).end();
      return true;
    };
    await fillCart(page);
    await page.getByRole('button', { name: /^View cart/ }).click();
    const cart = page.getByRole('dialog', { name: 'Your cart' });
    await cart.getByText('The price could not be updated.').waitFor();
    expect(await accessibilityProblems(page, 'no price')).toEqual([]);
    failing = false;
    await cart.getByRole('button', { name: 'Try again' }).click();
    await cart.getByText('Total').waitFor();
    await cart.getByText('The price could not be updated.').waitFor({ state: 'detached' });
  });

  it('says what is missing to the minimum, and that a restaurant is paused until when', async () => {
    const page = await openMenu(site);
    await page.getByRole('button', { name: 'Add Lemon Rice' }).click();
    await page.getByRole('button', { name: /^View cart/ }).click();
    const cart = page.getByRole('dialog', { name: 'Your cart' });
    await cart.getByText(/^Deliveries begin at £12\.00\. Add £8\.20 more/).waitFor();
    const until = new Date(Date.now() + 1_800_000).toISOString();
    const restaurant = `/v1/restaurants/${site.dabba.restaurant_id}`;
    await site.dabba.call('restaurant', 'POST', `${restaurant}/pause`, { until });
    await cart.getByRole('group', { name: 'Quantity of Lemon Rice' }).getByRole('button', { name: 'More' }).click();
    await cart.getByText(/^The restaurant takes no orders until/).waitFor();
    expect(await accessibilityProblems(page, 'obstacles')).toEqual([]);
    await site.dabba.call('restaurant', 'POST', `${restaurant}/resume`);
  });
});

describe('an order', () => {
  it('is placed by a newcomer with a phone, and leads to its tracking page', async () => {
    const page = await openMenu(site);
    await fillCart(page);
    await openCheckout(page);
    await fillAddress(page);
    expect(await accessibilityProblems(page, 'checkout')).toEqual([]);
    await page.getByRole('heading', { level: 2, name: 'Delivery address' }).waitFor();
    await register(page);
    // The whole price stands above the button that orders at it.
    const top = async (locator: Locator) => (await locator.boundingBox())?.y ?? NaN;
    const total = page.locator('dl').getByText('Total', { exact: true });
    await expect.poll(async () => (await top(total)) < (await top(placeButton(page)))).toBe(true);
    await page.waitForFunction(() => document.activeElement?.textContent.trim().startsWith('Place order'));
    await page.keyboard.press('Enter');
    await arrives(page);
    await page.getByRole('heading', { level: 1, name: /^Waiting for/ }).waitFor();
    await page.getByText('12 Lantern Street').waitFor();
    // The cart is empty for the next order, and the attempt is settled.
    expect(await page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes('attempt')))).toEqual([]);
    await page.goto(`/order/${site.dabba.restaurant_id}`);
    await page.getByRole('heading', { level: 3 }).first().waitFor();
    expect(await page.getByRole('button', { name: /^View cart/ }).count()).toBe(0);
  });

  it('is paid with a demo card, also with one that is declined', async () => {
    for (const [choice, headline] of [
      ['Demo card that works', /^(Confirming your payment|Waiting for)/],
      ['Demo card that is declined', 'Payment not completed'],
    ] as const) {
      const page = await readyToPlace(site);
      await page.getByLabel(choice).check();
      await placeButton(page).click();
      await arrives(page);
      await page.getByRole('heading', { level: 1, name: headline }).waitFor();
    }
  });

  it('is placed once by a double tap', async () => {
    const before = (await customerOrders(site)).length;
    const page = await readyToPlace(site);
    await placeButton(page).evaluate((button: HTMLElement) => {
      button.click();
      button.click();
    });
    await arrives(page);
    expect((await customerOrders(site)).length).toBe(before + 1);
  });

  it('asks at another price than the one that was shown', async () => {
    const page = await readyToPlace(site);
    const shown = await placeButton(page).textContent();
    await withMenu(
      (menu) => {
        for (const item of menu.categories.flatMap(({ items }) => items)) if (item.id === 'masala-dosa') item.price_minor += 100;
      },
      async () => {
        const before = (await customerOrders(site)).length;
        await placeButton(page).click();
        const dialog = page.getByRole('dialog', { name: 'The price has changed' });
        await dialog.waitFor();
        expect(await accessibilityProblems(page, 'new price')).toEqual([]);
        expect((await customerOrders(site)).length).toBe(before);
        const agree = dialog.getByRole('button', { name: /^Order for/ });
        const total = (await agree.textContent())?.replace(/^\s*Order for /, '').trim() ?? '';
        expect(shown).not.toContain(total);
        await agree.click();
        await arrives(page);
        const [order, ...others] = await customerOrders(site);
        expect(others).toHaveLength(before);
        expect(total).toContain(String((order?.amounts.total ?? 0) / 100));
      },
    );
  });

  it('whose answers get lost is retried, and is placed exactly once', async () => {
    const before = (await customerOrders(site)).length;
    const page = await readyToPlace(site);
    const restore = loseAnswers();
    await placeButton(page).click();
    await page.getByText('This page keeps trying.').waitFor();
    expect(await accessibilityProblems(page, 'waiting')).toEqual([]);
    expect((await customerOrders(site)).length).toBe(before + 1);
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await page.getByRole('dialog', { name: 'Place order' }).waitFor();
    restore();
    await arrives(page);
    expect((await customerOrders(site)).length).toBe(before + 1);
  });

  it('of a device without a network is placed exactly once, also over a reload', async () => {
    const before = (await customerOrders(site)).length;
    const page = await readyToPlace(site);
    await page.context().setOffline(true);
    await placeButton(page).click();
    await page.getByText('This page keeps trying.').waitFor();
    expect((await customerOrders(site)).length).toBe(before);
    await page.context().setOffline(false);
    await page.reload();
    await arrives(page);
    expect((await customerOrders(site)).length).toBe(before + 1);
  });

  it('with an unknown outcome of an earlier visit is the customer’s decision', async () => {
    const before = (await customerOrders(site)).length;
    const page = await readyToPlace(site);
    // Another cart than that of the other tests: the page searches for an equal order of the last minutes.
    await page.getByRole('group', { name: 'Quantity of Lemon Rice' }).getByRole('button', { name: 'More' }).click();
    const restore = refuseOrders();
    await placeButton(page).click();
    await page.getByText('This page keeps trying.').waitFor();
    await ageAttempt(page);
    await page.reload();
    const dialog = page.getByRole('dialog', { name: 'Your last order is not settled' });
    await dialog.waitFor();
    restore();
    expect(await accessibilityProblems(page, 'unsettled')).toEqual([]);
    await dialog.getByRole('button', { name: 'Do not order' }).click();
    await dialog.waitFor({ state: 'hidden' });
    await placeButton(page).waitFor();
    expect((await customerOrders(site)).length).toBe(before);
  });

  it('that was placed after all is found when the customer gives up', async () => {
    const before = (await customerOrders(site)).length;
    const page = await readyToPlace(site);
    const restore = loseAnswers();
    await placeButton(page).click();
    await page.getByText('This page keeps trying.').waitFor();
    await ageAttempt(page);
    await page.reload();
    await page.getByRole('dialog', { name: 'Your last order is not settled' }).waitFor();
    restore();
    await page.getByRole('button', { name: 'Do not order' }).click();
    await arrives(page);
    expect((await customerOrders(site)).length).toBe(before + 1);
  });

  it('shows problems of the server at their fields', async () => {
    const page = await openMenu(site, { signedIn: true });
    await fillCart(page);
    await openCheckout(page);
    // The account's name is there already.
    const name = page.getByLabel('Name', { exact: true });
    expect(await name.inputValue()).not.toBe('');
    await name.fill('');
    await placeButton(page).click();
    await page.waitForFunction(() => document.activeElement?.getAttribute('aria-invalid') === 'true');
    expect(await name.evaluate((input) => input === document.activeElement)).toBe(true);
    await fillAddress(page);
    await page.getByLabel('Phone (optional)').fill('x');
    await placeButton(page).click();
    const phone = page.getByRole('textbox', { name: 'Phone (optional)' });
    await page.waitForFunction(() => document.activeElement?.getAttribute('aria-invalid') === 'true');
    expect(await phone.evaluate((input) => input === document.activeElement)).toBe(true);
    expect(await accessibilityProblems(page, 'problems')).toEqual([]);
  });

  it('whose session has ended goes on after a sign-in, without ordering by itself', async () => {
    const page = await openMenu(site);
    await fillCart(page);
    await openCheckout(page);
    await fillAddress(page);
    const email = await register(page);
    await page.context().clearCookies();
    await placeButton(page).click();
    await page.getByText('Sign in again to finish your order.').waitFor();
    expect(await accessibilityProblems(page, 'session ended')).toEqual([]);
    await signInAgain(page, email);
    expect(new URL(page.url()).hash).toBe('#checkout');
    await placeButton(page).click();
    await arrives(page);
    const { orders } = await page.evaluate(async () => (await (await fetch('/v1/orders')).json()) as { orders: unknown[] });
    expect(orders).toHaveLength(1);
  });

  it('of somebody with a wrong password is not placed, and the field says why', async () => {
    const page = await openMenu(site);
    await fillCart(page);
    await openCheckout(page);
    await page.getByLabel('I have an account').check();
    await page.getByLabel('E-mail address').fill('nobody@example.com');
    await page.getByLabel('Password').fill('not the password');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('The e-mail address or the password is wrong.').waitFor();
    await page.waitForFunction(() => document.activeElement?.getAttribute('type') === 'password');
    expect(await accessibilityProblems(page, 'wrong password')).toEqual([]);
  });

  it('needs a customer: staff are told so', async () => {
    const page = await site.open({ role: 'restaurant', path: `/order/${site.dabba.restaurant_id}` });
    await page.getByRole('button', { name: 'Add Lemon Rice' }).click();
    await page.getByRole('link', { name: 'Go to checkout' }).click();
    await page.getByText('You are signed in as staff.').waitFor();
    expect(await placeButton(page).count()).toBe(0);
    // They sign out to order for themselves.
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('button', { name: 'Create account' }).waitFor();
    await page.getByRole('button', { name: 'Remove Lemon Rice' }).waitFor();
  });
});

describe('texts', () => {
  it('of a menu are data, never code', async () => {
    const script = SCRIPT.slice(0, 110);
    await withMenu(
      (menu) => {
        for (const category of menu.categories) {
          for (const item of category.items) {
            item.description = script;
            item.tags = [script];
            item.name = `${item.name.slice(0, 8)} ${script}`;
            for (const group of item.option_groups) {
              group.name = script;
              for (const option of group.options) option.name = script;
            }
          }
          // Equal names are allowed too.
          category.name = script;
        }
      },
      async () => {
        const page = await openMenu(site);
        await page.getByRole('button', { name: /^Choose Masala/ }).click();
        await page.getByRole('dialog').waitFor();
        expect(await wasHacked(page)).toBe(false);
        await page.getByRole('radio').first().check();
        await page.getByRole('button', { name: /^Add for/ }).click();
        await page.getByRole('button', { name: /^View cart/ }).click();
        await page.getByRole('dialog').waitFor();
        expect(await wasHacked(page)).toBe(false);
      },
    );
  });

  it('change under a translation by the browser', async () => {
    const page = await openMenu(site, { signedIn: true });
    await translate(page);
    await page.getByText('«Dosas»').first().waitFor();
    await page.getByRole('button', { name: 'Add Lemon Rice' }).click();
    await page.getByText('«View cart · 1 item»').waitFor();
    await page.getByRole('button', { name: 'Add Lemon Rice' }).click();
    await page.getByText('«View cart · 2 items»').waitFor();
    expect(await page.getByText('View cart · 1 item»').count()).toBe(0);
    await page.getByText(/View cart/).click();
    const cart = page.getByRole('dialog');
    await cart.getByRole('button', { name: 'More' }).click();
    await cart.getByText('«3»').waitFor();
    await cart.getByRole('button', { name: 'More' }).click();
    await cart.getByText('«4»').waitFor();
    await cart.getByRole('link', { name: 'Go to checkout' }).click();
    await page.getByText('«I collect it»').click();
    await page.getByLabel('«Name»', { exact: true }).fill('Asha');
    await page.getByRole('button', { name: /Place order/ }).click();
    await arrives(page);
  });
});
