// What the tests of the customer's pages share: orders in every status, a filled cart, and a browser's translation.
import type { BrowserContextOptions, Page } from 'playwright-core';
import type { Site } from './site';

export const PHONE = { width: 390, height: 844 };
const PASSWORD = 'a tiffin full of secrets';

interface Placed {
  id: string;
  token: string;
}

/** Places an order of the demo's customer, and creates its tracking link. */
export async function placeTracked(site: Site, changes: Record<string, unknown> = {}): Promise<Placed> {
  const { id } = await site.dabba.placeOrder(changes);
  return { id, token: await createLink(site, id) };
}

export async function createLink(site: Site, order: string): Promise<string> {
  const path = `/v1/orders/${order}/tracking-link`;
  return (await site.dabba.call<{ token: string }>('customer', 'POST', path)).token;
}

/** The steps of a delivery after the restaurant has the order, each by the actor who takes it. */
export const STEPS = {
  accept: (site: Site, id: string) =>
    site.dabba.call('restaurant', 'POST', `/v1/orders/${id}/accept`, { preparation_minutes: 20 }),
  ready: (site: Site, id: string) => site.dabba.call('restaurant', 'POST', `/v1/orders/${id}/ready`),
  async pickUp(site: Site, id: string) {
    await site.dabba.call('courier', 'POST', `/v1/orders/${id}/assign`, { courier_id: site.dabba.courier_id });
    await site.dabba.call('courier', 'POST', `/v1/orders/${id}/pick-up`);
  },
  deliver: (site: Site, id: string) => site.dabba.call('courier', 'POST', `/v1/orders/${id}/deliver`, {}),
};

/** Opens the ordering page of the demo's restaurant, as a stranger with a phone or as the demo's customer. */
export async function openMenu(
  site: Site,
  { signedIn = false, options = {} }: { signedIn?: boolean; options?: BrowserContextOptions } = {},
): Promise<Page> {
  const page = await site.open({
    path: `/order/${site.dabba.restaurant_id}`,
    ...(signedIn && { role: 'customer' as const }),
    options: { viewport: PHONE, ...options },
  });
  await page.getByRole('heading', { level: 3 }).first().waitFor();
  return page;
}

/** Puts two Masala Dosas and a Lemon Rice into the cart: enough for a delivery. */
export async function fillCart(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Choose Masala Dosa' }).click();
  const dialog = page.getByRole('dialog', { name: 'Masala Dosa' });
  await dialog.getByLabel(/Paneer/).check();
  await dialog.getByRole('button', { name: 'More' }).click();
  await dialog.getByRole('button', { name: /^Add for/ }).click();
  await dialog.waitFor({ state: 'hidden' });
  await page.getByRole('button', { name: 'Add Lemon Rice' }).click();
  await page.getByRole('button', { name: /^View cart · 3 items/ }).waitFor();
}

export async function openCheckout(page: Page): Promise<void> {
  await page.getByRole('button', { name: /^View cart/ }).click();
  await page.getByRole('link', { name: 'Go to checkout' }).last().click();
  await page.getByRole('heading', { name: 'Checkout' }).waitFor();
}

/** Fills in what a delivery needs. */
export async function fillAddress(page: Page): Promise<void> {
  await page.getByLabel('Name', { exact: true }).fill('Asha Rao');
  await page.getByLabel('Street and number').fill('12 Lantern Street');
  await page.getByLabel('Town').fill('London');
}

/** Fills the form of a new account in. Returns the e-mail address. */
export async function fillAccount(page: Page, email = `guest-${crypto.randomUUID()}@example.com`): Promise<string> {
  await page.getByLabel('E-mail address').fill(email);
  await page.getByLabel('Password').fill(PASSWORD);
  return email;
}

/** Registers a new customer on the checkout. Returns the e-mail address. */
export async function register(page: Page): Promise<string> {
  const email = await fillAccount(page);
  await page.getByRole('button', { name: 'Create account' }).click();
  await placeButton(page).waitFor();
  return email;
}

/** Signs a customer of `register` in on the checkout. */
export async function signInAgain(page: Page, email: string): Promise<void> {
  await page.getByLabel('E-mail address').fill(email);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await placeButton(page).waitFor();
}

export const placeButton = (page: Page) => page.getByRole('button', { name: /^Place order/ });

/** A cart, an address and a session: everything but the order. */
export async function readyToPlace(site: Site): Promise<Page> {
  const page = await openMenu(site, { signedIn: true });
  await fillCart(page);
  await openCheckout(page);
  await fillAddress(page);
  return page;
}

/** The orders of the demo's customer, newest first. */
export async function customerOrders(site: Site): Promise<{ id: string; status: string; amounts: { total: number } }[]> {
  return (await site.dabba.call<{ orders: never[] }>('customer', 'GET', '/v1/orders?limit=50')).orders;
}

/**
 * Does to a page what a browser's translation does: replaces every text node with `<font>` elements around another text,
 * now and whenever text appears.
 */
export async function translate(page: Page): Promise<void> {
  await page.evaluate(() => {
    const replace = (node: Node) => {
      if (node instanceof Text) {
        const text = node.data;
        if (text.trim() === '' || node.parentElement?.closest('font, style, script, textarea, [translate="no"]')) return;
        const outer = document.createElement('font');
        const inner = document.createElement('font');
        inner.textContent = `«${text.trim()}»`;
        outer.append(inner);
        node.replaceWith(outer);
      } else {
        for (const child of [...node.childNodes]) replace(child);
      }
    };
    replace(document.body);
    new MutationObserver((records) => {
      for (const record of records) {
        if (record.type === 'characterData') replace(record.target);
        for (const node of record.addedNodes) if (node.isConnected) replace(node);
      }
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
  });
}

/** A text that runs a script wherever a page takes it for HTML, an attribute or an address. */
export const SCRIPT = `"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script>{{7*7}}javascript:1`;

/** Whether a page ran `SCRIPT`, or made an element of it. */
export function wasHacked(page: Page): Promise<boolean> {
  return page.evaluate(() => 'hacked' in globalThis || document.querySelector('#app img, #app script') !== null);
}
