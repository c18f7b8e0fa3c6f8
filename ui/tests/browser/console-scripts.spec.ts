// A script in every text that customers, staff and programs write: the console shows it, and never runs it.
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { SCRIPT, wasHacked } from './customer';
import { openSite, type Site } from './site';

/** An address that the server accepts, and that is markup. */
const EMAIL = `"><img/src=x/onerror="window.hacked=1">@evil.example`;
const PASSWORD = 'a tiffin full of secrets';

let site: Site;
let order: string;

beforeAll(async () => {
  site = await openSite();
  const account = { email: EMAIL, name: SCRIPT, password: PASSWORD };
  await site.dabba.call(undefined, 'POST', '/v1/accounts', account);
  const credentials = { email: EMAIL, password: PASSWORD };
  const { access_token: token } = await site.dabba.call<{ access_token: string }>(undefined, 'POST', '/v1/tokens', credentials);
  const response = await fetch(`${site.dabba.address}/v1/restaurants/${site.dabba.restaurant_id}/orders`, {
    method: 'POST',
    headers: { 'authorization': `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': crypto.randomUUID() },
    body: JSON.stringify({
      ...site.dabba.order,
      contact: { name: SCRIPT, phone: '+44 20 7946 0000' },
      note: SCRIPT,
      lines: [{ item: 'garlic-naan', quantity: 9, note: SCRIPT }],
      fulfilment: {
        type: 'delivery',
        address: { line1: SCRIPT, line2: SCRIPT, city: SCRIPT, postal_code: SCRIPT, instructions: SCRIPT },
      },
    }),
  });
  expect(response.status).toBe(201);
  order = ((await response.json()) as { id: string }).id;
  await site.dabba.call('restaurant', 'POST', `/v1/orders/${order}/reject`, { reason: 'other', note: SCRIPT });
});
afterEach(() => site.check());
afterAll(() => site.close());

const open = (path: string) => site.open({ role: 'admin', path });

/** Waits until a view shows a text, as text, and fails if it ran. */
async function shows(page: Page, text: string): Promise<void> {
  await page.locator('#content').getByText(text).first().waitFor();
  expect(await wasHacked(page)).toBe(false);
}

it('a script in each text of an order is text in each part of the order', async () => {
  const page = await open(`/console/orders/${order}`);
  await shows(page, SCRIPT);
  // Contact, three lines of the address, instructions, both notes, the item's note, and the reason of the rejection.
  expect((await page.locator('#content').innerText()).split('window.hacked=1</script>').length - 1).toBeGreaterThanOrEqual(8);
  for (const tab of ['Timeline', 'Ledger', 'Tasks', 'Webhooks', 'JSON']) {
    const link = page.getByRole('navigation', { name: 'Parts of the order' }).getByRole('link', { name: tab });
    await link.click();
    await link.and(page.locator('[aria-current]')).waitFor();
    expect(await wasHacked(page)).toBe(false);
  }
  await shows(page, JSON.stringify(SCRIPT).slice(1, -1));
});

it('a script in an account’s name and e-mail address is text in lists, details, dialogs, titles and toasts', async () => {
  const page = await open('/console/accounts');
  await shows(page, EMAIL);
  await page.getByRole('link', { name: SCRIPT }).click();
  await page.getByRole('heading', { level: 2, name: SCRIPT }).waitFor();
  await page.waitForFunction((name) => document.title.startsWith(name), SCRIPT);
  await page.getByRole('button', { name: 'Disable' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText(SCRIPT).waitFor();
  expect(await wasHacked(page)).toBe(false);
  await dialog.getByRole('button', { name: 'Disable' }).click();
  await page.getByText('is disabled.').filter({ hasText: SCRIPT }).waitFor();
  expect(await wasHacked(page)).toBe(false);
});

it('a script is text in the list of orders, in a search, and among the staff of a restaurant', async () => {
  const page = await open('/console/orders?view=ended');
  await shows(page, SCRIPT);
  await page.getByRole('searchbox').fill(EMAIL);
  await page.keyboard.press('Enter');
  await shows(page, EMAIL);
  await page.locator(`[data-row="${order}"]`).waitFor();
  await page.goto(`/console/orders?q=${encodeURIComponent(SCRIPT)}`);
  await shows(page, SCRIPT);
  const staff = { email: `staff-${EMAIL}`, name: SCRIPT, password: PASSWORD, role: 'restaurant' };
  await site.dabba.call('admin', 'POST', '/v1/accounts', staff);
  await page.goto(`/console/restaurants/${site.dabba.restaurant_id}`);
  await page.getByLabel('E-mail or id of an account').fill(staff.email);
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByText('works here now.').filter({ hasText: SCRIPT }).waitFor();
  await shows(page, staff.email);
});
