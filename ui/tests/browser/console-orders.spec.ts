import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { accessibilityProblems } from './accessible';
import { openSite, type Site } from './site';

interface Order {
  id: string;
  display_code: string;
  status: string;
  version: number;
  customer_id?: string;
  courier_id?: string;
  amounts: { total: number };
  payment: { status: string; captured: number; refunded: number };
  closure?: { by?: { role: string }; reason?: string };
}

let site: Site;

beforeAll(async () => {
  site = await openSite();
});
afterEach(() => site.check());
afterAll(() => site.close());

const CARD = { payment_method: 'card', payment_token: 'tok_succeed' };

async function read(id: string): Promise<Order> {
  return site.dabba.call('admin', 'GET', `/v1/orders/${id}`);
}

async function place(changes: Record<string, unknown> = {}): Promise<Order> {
  return read((await site.dabba.placeOrder(changes)).id);
}

/** Places an order by card, and waits until its money is authorized. */
async function placeByCard(token = 'tok_succeed'): Promise<Order> {
  const { id } = await place({ ...CARD, payment_token: token });
  await expect.poll(async () => (await read(id)).status).toBe('confirmed');
  return read(id);
}

async function deliver(id: string): Promise<Order> {
  const { call } = site.dabba;
  await call('restaurant', 'POST', `/v1/orders/${id}/accept`, { preparation_minutes: 20 });
  await call('restaurant', 'POST', `/v1/orders/${id}/ready`);
  await call('courier', 'POST', `/v1/orders/${id}/assign`, {});
  await call('courier', 'POST', `/v1/orders/${id}/pick-up`);
  await call('courier', 'POST', `/v1/orders/${id}/deliver`, {});
  return read(id);
}

const open = (path = '/console/orders') => site.open({ role: 'admin', path });
const row = (page: Page, order: { id: string }) => page.locator(`[data-row="${order.id}"]`);
const codeHeading = (page: Page, order: Order) => page.getByRole('heading', { level: 2, name: order.display_code });

async function search(page: Page, text: string): Promise<void> {
  await page.getByRole('searchbox').fill(text);
  await page.keyboard.press('Enter');
}

describe('search', () => {
  it('finds an order by its id, and shows its timeline with every event as JSON', async () => {
    const order = await place();
    const page = await open();
    await page.getByText('Restaurant, customer').waitFor();
    await search(page, order.id);
    await codeHeading(page, order).waitFor();
    await page.getByRole('link', { name: 'Timeline' }).click();
    const timeline = page.getByRole('list', { name: 'Timeline' });
    await timeline.getByText('Placed', { exact: true }).waitFor();
    await timeline.getByText('Confirmed', { exact: true }).waitFor();
    await timeline.getByText('By: Customer').waitFor();
    await timeline.getByText('Event 1', { exact: true }).waitFor();
    await timeline.locator('time', { hasText: /\d\d?:\d\d:\d\d/ }).first().waitFor();
    await timeline.locator('summary').first().click();
    await page.getByRole('group', { name: 'Placed, event 1' }).getByText('"type": "placed"').waitFor();
    expect(await accessibilityProblems(page, 'timeline')).toEqual([]);
    await page.reload();
    await timeline.getByText('Confirmed', { exact: true }).waitFor();
  });

  it('finds orders by display code and by e-mail address, and says what it does not find', async () => {
    const order = await place();
    const page = await open();
    await search(page, `#${order.display_code.toLowerCase()}`);
    await codeHeading(page, order).waitFor();
    await search(page, 'customer@dabba.example');
    await row(page, order).waitFor();
    await page.getByRole('link', { name: 'Open the account' }).waitFor();
    expect(await accessibilityProblems(page, 'results')).toEqual([]);
    await search(page, 'nobody@dabba.example');
    await page.getByText('Nothing found').waitFor();
    await search(page, '?!');
    await page.getByText('This is no id, code or e-mail address').waitFor();
  });

  it('of an unknown id says that there is no such order', async () => {
    const page = await open('/console/orders/01a22c06-0000-7000-8000-000000000000');
    await page.getByText('There is no such order').waitFor();
  });
});

describe('commands', () => {
  it('cancels an order after the effect on the money is shown, with a reason', async () => {
    const order = await placeByCard();
    const page = await open(`/console/orders/${order.id}`);
    await page.getByRole('button', { name: 'Cancel order' }).click();
    const dialog = page.getByRole('dialog', { name: `Cancel order ${order.display_code}?` });
    const confirm = dialog.getByRole('button', { name: 'Cancel order' });
    await dialog.getByText('Choose a reason to see the effect.').waitFor();
    expect(await confirm.isDisabled()).toBe(true);
    await dialog.getByLabel('Reason').selectOption({ label: 'Suspected fraud' });
    await dialog.getByText(/The authorization of £46\.31 is voided/).waitFor();
    expect(await accessibilityProblems(page, 'cancel')).toEqual([]);
    // The preview changed nothing.
    expect((await read(order.id)).version).toBe(order.version);
    await dialog.getByLabel('Note (optional)').fill('<script>alert(1)</script>');
    await dialog.getByText(/The authorization of £46\.31 is voided/).waitFor();
    await confirm.click();
    await page.getByText(`Order ${order.display_code} is cancelled.`).waitFor();
    await page.getByRole('heading', { name: 'Early end' }).waitFor();
    await page.getByText('<script>alert(1)</script>').first().waitFor();
    const cancelled = await read(order.id);
    expect(cancelled.status).toBe('cancelled');
    expect(cancelled.closure).toMatchObject({ reason: 'suspected_fraud', by: { role: 'admin' } });
  });

  it('names the customer and the courier, whom it changes before the pick-up', async () => {
    const { call } = site.dabba;
    const { id } = await place();
    await call('restaurant', 'POST', `/v1/orders/${id}/accept`, { preparation_minutes: 20 });
    const page = await open(`/console/orders/${id}`);
    await page.getByRole('button', { name: 'Assign courier' }).waitFor();
    const people = page.getByRole('region', { name: 'People and times' });
    await people.getByText('None yet').waitFor();
    await call('courier', 'POST', `/v1/orders/${id}/assign`, {});
    const order = await read(id);
    await page.getByRole('button', { name: 'Change courier' }).click();
    await page.getByRole('dialog', { name: `Change the courier of order ${order.display_code}` }).waitFor();
    await page.keyboard.press('Escape');
    const courier = await call<{ name: string }>('admin', 'GET', `/v1/accounts/${order.courier_id ?? ''}`);
    const customer = await call<{ name: string }>('admin', 'GET', `/v1/accounts/${order.customer_id ?? ''}`);
    await people.getByRole('link', { name: courier.name }).waitFor();
    await people.getByRole('link', { name: customer.name }).waitFor();
    expect(await page.getByRole('link', { name: 'Account', exact: true }).count()).toBe(0);
    expect(await page.getByRole('heading', { level: 3 }).first().textContent()).toBe('People and times');
    expect(await accessibilityProblems(page, 'people')).toEqual([]);
  });

  it('makes a tracking link for the customer', async () => {
    const order = await place();
    const page = await open(`/console/orders/${order.id}`);
    await page.getByRole('button', { name: 'Tracking link' }).click();
    const dialog = page.getByRole('dialog', { name: `Tracking link of order ${order.display_code}` });
    await dialog.getByText(/Whoever has the link can follow the order/).waitFor();
    await dialog.getByRole('button', { name: 'Create link' }).click();
    const link = await dialog.locator('code').textContent();
    expect(link).toMatch(/^http:\/\/.*\/t\/[0-9A-Za-z]{46}$/);
    expect(await accessibilityProblems(page, 'tracking link')).toEqual([]);
    const token = link?.split('/').at(-1) ?? '';
    const customer = await site.open({ path: `/t/${token}` });
    await customer.getByText(order.display_code).first().waitFor();
    await dialog.getByRole('button', { name: 'Close', exact: true }).last().click();
    await dialog.waitFor({ state: 'detached' });

    site.front.intercept = (request, response) => {
      if (!request.url?.endsWith('/tracking-link')) return false;
      const problem = { status: 409, code: 'too_many_tracking_links', title: 'The order has too many tracking links', detail: 'at most 20' };
      response.writeHead(409, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem));
      return true;
    };
    await page.getByRole('button', { name: 'Tracking link' }).click();
    await dialog.getByRole('button', { name: 'Create link' }).click();
    await dialog.getByRole('alert').waitFor();
    site.front.intercept = () => false;
    expect(await accessibilityProblems(page, 'no tracking link')).toEqual([]);
  });

  it('refunds one item of a delivered order', async () => {
    const order = await deliver((await place()).id);
    const page = await open(`/console/orders/${order.id}?tab=money`);
    await page.getByRole('button', { name: 'Refund' }).click();
    const dialog = page.getByRole('dialog', { name: `Refund order ${order.display_code}` });
    await dialog.getByLabel('Items').check();
    await dialog.getByLabel('Reason').selectOption({ label: 'Item missing' });
    await dialog.getByText('Choose how many of which item to refund.').waitFor();
    await dialog.getByRole('group', { name: 'Quantity to refund: Black Dal' }).getByRole('button', { name: 'More' }).click();
    // 7.60 and 20 % tax.
    await dialog.getByText('£9.12 is refunded in cash.').waitFor();
    expect(await accessibilityProblems(page, 'refund')).toEqual([]);
    await dialog.getByRole('button', { name: 'Refund' }).click();
    await page.getByText('the refund is recorded').waitFor();
    await expect.poll(async () => (await read(order.id)).payment.refunded).toBe(912);
    await page.getByRole('cell', { name: 'Refunded' }).first().waitFor();
    expect(await accessibilityProblems(page, 'ledger')).toEqual([]);
  });

  it('refuses to act on a state that the person has not seen, and shows the new one', async () => {
    const order = await place();
    // Nothing reports changes to this page.
    site.front.intercept = (request, response) => {
      if (!request.url?.startsWith('/v1/events/stream')) return false;
      response.writeHead(503, { 'content-type': 'application/problem+json' }).end('{"code":"unavailable"}');
      return true;
    };
    const page = await open(`/console/orders/${order.id}`);
    await codeHeading(page, order).waitFor();
    await page.getByRole('button', { name: 'Cancel order' }).click();
    const dialog = page.getByRole('dialog');
    await site.dabba.call('restaurant', 'POST', `/v1/orders/${order.id}/accept`, { preparation_minutes: 20 });
    await dialog.getByLabel('Reason').selectOption({ label: 'Ordered twice' });
    await dialog.getByText('The order has changed since you opened it.').waitFor();
    expect(await dialog.getByRole('button', { name: 'Cancel order' }).isDisabled()).toBe(true);
    await dialog.getByRole('button', { name: 'Show the new state' }).click();
    await dialog.getByText('Being prepared').waitFor();
    await dialog.getByRole('button', { name: 'Cancel order' }).click();
    await expect.poll(async () => (await read(order.id)).status).toBe('cancelled');
    site.front.intercept = () => false;
  });

  it('cancels several orders, and reports the outcome of each', async () => {
    const [one, other] = [await place(), await place()];
    const page = await open();
    for (const order of [one, other]) await page.getByLabel(`Select order ${order.display_code}`).check();
    await page.getByText('2 orders selected').waitFor();
    await page.getByRole('button', { name: 'Cancel orders' }).click();
    const dialog = page.getByRole('dialog', { name: 'Cancel 2 orders?' });
    await dialog.getByLabel('Reason').selectOption({ label: 'Ordered twice' });
    await dialog.getByText('2 orders are cancelled.').waitFor();
    const named = dialog.getByRole('list', { name: 'Selected orders' }).getByRole('listitem');
    for (const order of [one, other]) await named.filter({ hasText: order.display_code }).filter({ hasText: 'Saffron Lane' }).waitFor();
    expect(await accessibilityProblems(page, 'bulk')).toEqual([]);
    await site.dabba.call('restaurant', 'POST', `/v1/orders/${other.id}/accept`, { preparation_minutes: 20 });
    await dialog.getByRole('button', { name: 'Cancel orders' }).click();
    await dialog.getByText('Done: 1. Failed: 1.').waitFor();
    const outcomes = dialog.getByRole('list', { name: 'Outcome of each' }).getByRole('listitem');
    await outcomes.filter({ hasText: one.display_code }).filter({ hasText: 'Cancelled' }).waitFor();
    await outcomes.filter({ hasText: other.display_code }).filter({ hasText: 'has changed' }).waitFor();
    expect((await read(one.id)).status).toBe('cancelled');
    expect((await read(other.id)).status).toBe('preparing');
  });
});

describe('the live list', () => {
  it('shows changes in place, and lets new orders wait while a row has the focus', async () => {
    const [older, newer] = [await place(), await place()];
    const page = await open();
    await row(page, newer).waitFor();
    const ids = () => page.locator('[data-row]').evaluateAll((rows) => rows.map((entry) => entry.getAttribute('data-row')));
    const before = await ids();
    await page.getByText('Live', { exact: true }).waitFor();
    await row(page, newer).focus();
    await site.dabba.call('restaurant', 'POST', `/v1/orders/${older.id}/accept`, { preparation_minutes: 20 });
    await row(page, older).getByText('Being prepared').waitFor();
    const latest = await place();
    const button = page.getByRole('button', { name: '1 new order' });
    await button.waitFor();
    expect(await ids()).toEqual(before);
    await button.click();
    await row(page, latest).waitFor();
  });

  it('puts stuck orders first, and filters to what needs a person', async () => {
    const stuck = await placeByCard('tok_captures_less');
    await site.dabba.call('restaurant', 'POST', `/v1/orders/${stuck.id}/accept`, { preparation_minutes: 20 });
    const tasks = () => site.dabba.call<{ tasks: { order_id?: string }[] }>('admin', 'GET', '/v1/tasks');
    await expect.poll(async () => (await tasks()).tasks.some((task) => task.order_id === stuck.id)).toBe(true);
    const calm = await place();
    const page = await open();
    await row(page, calm).waitFor();
    const first = page.locator('[data-row]').first();
    await expect.poll(() => first.getAttribute('data-row')).toBe(stuck.id);
    await first.getByText('Stuck: parked task').waitFor();
    await page.getByRole('button', { name: 'Late and stuck' }).click();
    await row(page, calm).waitFor({ state: 'detached' });
    await row(page, stuck).waitFor();
    await row(page, stuck).click();
    await page.getByRole('link', { name: /^Tasks/ }).last().click();
    await page.getByRole('heading', { name: 'Review' }).waitFor();
    expect(await accessibilityProblems(page, 'stuck order')).toEqual([]);
  });

  it('has its filters in the address: they survive a reload, and the back button leads through them', async () => {
    const order = await place();
    await site.dabba.call('customer', 'POST', `/v1/orders/${order.id}/cancel`, { reason: 'changed_mind' });
    const page = await open();
    await page.getByRole('button', { name: 'Ended' }).click();
    await page.getByRole('button', { name: 'Cancelled', exact: true }).click();
    await page.getByLabel('Restaurant').selectOption({ label: 'Saffron Lane' });
    await row(page, order).waitFor();
    await page.waitForURL((url) => url.search === `?view=ended&status=cancelled&restaurant=${site.dabba.restaurant_id}`);
    const address = page.url();
    await page.reload();
    await row(page, order).waitFor();
    expect(await page.getByRole('button', { name: 'Ended' }).getAttribute('aria-pressed')).toBe('true');
    expect(await page.getByRole('button', { name: 'Cancelled', exact: true }).getAttribute('aria-pressed')).toBe('true');
    await row(page, order).click();
    await codeHeading(page, order).waitFor();
    expect(new URL(page.url()).searchParams.get('status')).toBe('cancelled');
    await page.goBack();
    await codeHeading(page, order).waitFor({ state: 'detached' });
    await page.waitForURL(address);
    expect(await accessibilityProblems(page, 'filtered list')).toEqual([]);
  });

  it('works with the keyboard alone', async () => {
    const order = await place();
    const page = await open();
    await row(page, order).waitFor();
    const first = await page.locator('[data-row]').first().getAttribute('data-row');
    const focused = () => page.evaluate(() => document.activeElement?.getAttribute('data-row'));
    await page.keyboard.press('j');
    await expect.poll(focused).toBe(first);
    await page.keyboard.press('j');
    await expect.poll(focused).not.toBe(first);
    await page.keyboard.press('k');
    await expect.poll(focused).toBe(first);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 2 }).first().waitFor();
    await page.waitForURL((url) => url.pathname === `/console/orders/${first}`);
    await page.keyboard.press('Escape');
    await page.waitForURL((url) => url.pathname === '/console/orders');
    await expect.poll(focused).toBe(first);
    await page.keyboard.press('?');
    const help = page.getByRole('dialog', { name: 'Keyboard' });
    const shortcuts = help.getByRole('checkbox', { name: 'Single characters are shortcuts' });
    await help.waitFor();
    expect(await accessibilityProblems(page, 'help')).toEqual([]);
    // A person who speaks to the computer switches them off, also for the next visit.
    await shortcuts.uncheck();
    await page.keyboard.press('Escape');
    await page.reload();
    await row(page, order).waitFor();
    for (const key of ['j', '/', '?']) await page.keyboard.press(key);
    expect(await help.isVisible()).toBe(false);
    expect(await focused()).toBeNull();
    await page.getByRole('button', { name: 'Keyboard' }).click();
    await shortcuts.check();
    await page.keyboard.press('Escape');
    await page.keyboard.press('/');
    await page.keyboard.type(`${order.id}j`);
    expect(await page.getByRole('searchbox').inputValue()).toBe(`${order.id}j`);
    await page.keyboard.press('Backspace');
    await page.keyboard.press('Enter');
    await codeHeading(page, order).waitFor();
  });
});

describe('people', () => {
  it('other than admins get an explanation', async () => {
    const before = site.front.requests.length;
    const page = await site.open({ role: 'restaurant', path: '/console/orders' });
    await page.getByRole('heading', { name: 'The console is for admins' }).waitFor();
    await page.getByText('restaurant@dabba.example').waitFor();
    expect(await accessibilityProblems(page, 'not an admin')).toEqual([]);
    expect(site.front.requests.slice(before)).not.toContain('GET /v1/tasks');
  });

  it('who follow a link sign in first, and get to what it names', async () => {
    const order = await place();
    const path = `/console/orders/${order.id}?tab=timeline`;
    const account = { email: 'support@dabba.example', name: 'Support', role: 'admin', password: crypto.randomUUID() };
    await site.dabba.call('admin', 'POST', '/v1/accounts', account);
    const page = await site.open({ path });
    await page.getByLabel('E-mail').fill(account.email);
    await page.getByLabel('Password', { exact: true }).fill(account.password);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.waitForURL((url) => url.pathname + url.search === path);
    await page.getByRole('list', { name: 'Timeline' }).getByText('Confirmed', { exact: true }).waitFor();
  });

  it('cannot inject markup with any text of an order', async () => {
    const text = '<img src=x onerror="document.title=1"><script>document.title=2</script>';
    const order = await place({ note: text, contact: { name: text.slice(0, 60), phone: '+44 20 7946 0000' } });
    const page = await open(`/console/orders/${order.id}`);
    await codeHeading(page, order).waitFor();
    await page.getByText(text, { exact: true }).waitFor();
    for (const tab of ['Timeline', 'Ledger', 'Webhooks', 'JSON']) {
      const link = page.getByRole('navigation', { name: 'Parts of the order' }).getByRole('link', { name: tab });
      await link.click();
      await link.and(page.locator('[aria-current]')).waitFor();
    }
    await page.getByText(JSON.stringify(text)).first().waitFor();
    expect(await page.locator('#app img, #app script').count()).toBe(0);
    expect(await page.title()).toBe(`Order ${order.display_code} – Orders – Console – Dabba`);
  });
});
