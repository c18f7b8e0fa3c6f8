import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { accessibilityProblems, smallTargets } from './accessible';
import { createLink, PHONE, placeTracked, SCRIPT, STEPS, translate, wasHacked } from './customer';
import { openSite, RECONNECTION, WAIT, type Site } from './site';

let site: Site;

beforeAll(async () => {
  site = await openSite();
});
afterEach(() => site.check());
afterAll(() => site.close());

const open = (token: string, options = {}) => site.open({ path: `/t/${token}`, options: { viewport: PHONE, ...options } });
const headline = (page: Awaited<ReturnType<typeof open>>, name: string | RegExp, timeout = WAIT) =>
  page.getByRole('heading', { level: 1, name }).waitFor({ timeout });
const card = { payment_method: 'card', payment_token: 'tok_succeed' };

describe('the tracking page', () => {
  it('says so if the link is mutilated', async () => {
    const page = await open('%E0%A4%A');
    await page.getByText('This link does not lead to an order').waitFor();
  });

  it('follows a delivery from the first step to the last, without a session', async () => {
    const { id, token } = await placeTracked(site);
    const page = await open(token);
    await headline(page, /^Waiting for/);
    expect(await page.context().cookies()).toEqual([]);
    expect(await accessibilityProblems(page, 'confirmed')).toEqual([]);
    expect(await smallTargets(page, 44)).toEqual([]);
    await page.getByText('Everyone with its link sees the order, and can cancel it while that is possible.').waitFor();

    await STEPS.accept(site, id);
    await headline(page, 'Your food is being prepared');
    await page.getByText('Everyone with its link sees the order.', { exact: true }).waitFor();
    await page.getByText('Kitchen ready at about').waitFor();
    await page.getByText('There is no estimate of when it arrives.').waitFor();
    expect(await page.getByRole('button', { name: 'Cancel order' }).count()).toBe(0);
    expect(await accessibilityProblems(page, 'preparing')).toEqual([]);

    await STEPS.ready(site, id);
    await headline(page, 'Your food is ready');
    await STEPS.pickUp(site, id);
    await headline(page, 'Your food is on its way');
    await STEPS.deliver(site, id);
    await headline(page, 'Delivered');
    expect(await page.getByText('There is no estimate').count()).toBe(0);
    expect(await page.getByText(/can cancel it/).count()).toBe(0);
    const steps = page.getByRole('list').filter({ hasText: 'Ordered' }).getByRole('listitem');
    await expect.poll(() => steps.count()).toBe(6);
    for (const time of await steps.locator('time').allTextContents()) expect(time).toMatch(/\d/);
    await page.getByText(/^You paid .* in cash\.$/).waitFor();
    expect(await accessibilityProblems(page, 'delivered')).toEqual([]);
  });

  it('shows items, options, amounts and address, and no note', async () => {
    const { token } = await placeTracked(site);
    const page = await open(token);
    await headline(page, /^Waiting for/);
    for (const text of ['Masala Dosa', 'Paneer', 'Coconut Chutney', '12 Lantern Street', 'Flat 3', 'The blue door']) {
      await page.getByText(text).first().waitFor();
    }
    await page.locator('dl').getByText('Tip').waitFor();
    expect(await page.getByText(/No ice, please/).count()).toBe(0);
    // The demo's address has no coordinates, so there is nothing to draw.
    expect(await page.getByRole('img').count()).toBe(0);
  });

  it('draws a plan if both places are known', async () => {
    const fulfilment = {
      type: 'delivery',
      address: { line1: '12 Lantern Street', city: 'London', location: { lat: 51.5339, lng: -0.0555 } },
    };
    const { token } = await placeTracked(site, { fulfilment });
    const page = await open(token);
    await page.getByRole('img', { name: /1\.5 km to the north-east/ }).waitFor();
    await page.getByText('1.5 km in a straight line').waitFor();
    expect(await accessibilityProblems(page, 'plan')).toEqual([]);
  });

  it('explains a rejection with its items, and a refund that is on its way', async () => {
    const { id, token } = await placeTracked(site, card);
    const page = await open(token);
    await headline(page, /^Waiting for/);
    await site.dabba.call('restaurant', 'POST', `/v1/orders/${id}/reject`, {
      reason: 'item_unavailable',
      items: [{ item: 'mango-lassi' }],
    });
    await headline(page, 'The restaurant could not take your order');
    await page.getByText(/Not available: .*Mango Lassi/).waitFor();
    await page.getByText(/reservation of £.* on your card/).first().waitFor();
    expect(await accessibilityProblems(page, 'rejected')).toEqual([]);
    const path = `/v1/restaurants/${site.dabba.restaurant_id}/menu/items/mango-lassi/availability`;
    await site.dabba.call('restaurant', 'PUT', path, { status: 'available' });
  });

  it('explains a payment that failed', async () => {
    const { token } = await placeTracked(site, { ...card, payment_token: 'tok_decline' });
    const page = await open(token);
    await headline(page, 'Payment not completed');
    await page.getByText('Your card was not charged.').first().waitFor();
  });

  it('explains that the restaurant did not answer', async () => {
    const { token } = await placeTracked(site);
    const page = await open(token);
    await headline(page, /^Waiting for/);
    await site.dabba.call('admin', 'POST', '/v1/sandbox/clock/advance', { seconds: 3_700 });
    await headline(page, 'Order not accepted in time');
    await page.getByText('You pay nothing.').first().waitFor();
  });

  it('names the zone only if the clocks of the customer and the restaurant differ', async () => {
    const { token } = await placeTracked(site);
    const here = await open(token, { timezoneId: 'Europe/London' });
    await headline(here, /^Waiting for/);
    expect(await here.getByText(/All times are the restaurant/).count()).toBe(0);
    const there = await open(token, { timezoneId: 'Asia/Tokyo' });
    await there.getByText(/All times are the restaurant’s: .*\(London\)/).waitFor();
  });
});

describe('cancelling', () => {
  it('asks for a reason, says what happens with the money, and works by keyboard', async () => {
    const { id, token } = await placeTracked(site, card);
    const page = await open(token);
    const button = page.getByRole('button', { name: 'Cancel order' });
    await button.waitFor();
    await button.focus();
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Cancel the order?' });
    await dialog.getByText(/Your card is not charged/).waitFor();
    expect(await accessibilityProblems(page, 'cancel')).toEqual([]);
    // The labels around the reasons are the targets, not the circles.
    expect((await smallTargets(page, 44)).filter((control) => !control.includes('type="radio"'))).toEqual([]);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'hidden' });
    expect(await button.evaluate((element) => element === document.activeElement)).toBe(true);

    await page.keyboard.press('Enter');
    await dialog.getByLabel('The address is wrong').focus();
    await page.keyboard.press('Space');
    await dialog.getByRole('button', { name: 'Cancel this order' }).focus();
    await page.keyboard.press('Enter');
    await headline(page, 'Order cancelled');
    await page.waitForFunction(() => document.activeElement?.id === 'content');
    const order = await site.dabba.call<{ status: string; closure: unknown }>('admin', 'GET', `/v1/orders/${id}`);
    expect(order).toMatchObject({ status: 'cancelled', closure: { how: 'cancelled', reason: 'wrong_address' } });
    const { events } = await site.dabba.call<{ events: { type: string }[] }>('admin', 'GET', `/v1/orders/${id}/events`);
    const cancelled = events.find(({ type }) => type === 'cancelled');
    expect(cancelled).toMatchObject({ actor: { role: 'customer', via: 'link' } });
  });

  it('loses against a restaurant that accepts first, and shows what happened instead', async () => {
    const { id, token } = await placeTracked(site);
    const page = await open(token);
    await page.getByRole('button', { name: 'Cancel order' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.waitFor();
    // The stream does not bring the news before the tap.
    const before = site.front.intercept;
    site.front.intercept = async (request, response) => {
      if (request.url?.endsWith('/cancel')) await STEPS.accept(site, id);
      return before(request, response);
    };
    await dialog.getByRole('button', { name: 'Cancel this order' }).click();
    await dialog.getByText('The order has moved on').waitFor();
    await headline(page, 'Your food is being prepared');
    site.front.intercept = before;
  });

  it('stays open and says that it is too late if the restaurant accepts meanwhile', async () => {
    const { id, token } = await placeTracked(site);
    const page = await open(token);
    await page.getByRole('button', { name: 'Cancel order' }).click();
    const dialog = page.getByRole('dialog', { name: 'Cancel the order?' });
    await dialog.getByLabel('The address is wrong').focus();
    await STEPS.accept(site, id);
    await dialog.getByText('The order has moved on').waitFor();
    expect(await dialog.getByRole('button', { name: 'Cancel this order' }).count()).toBe(0);
    expect(await dialog.evaluate((element) => element.contains(document.activeElement))).toBe(true);
    expect(await page.evaluate(() => document.activeElement?.textContent)).toMatch('The order has moved on');
    expect(await accessibilityProblems(page, 'too late')).toEqual([]);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'hidden' });
    await page.waitForFunction(() => document.activeElement?.id === 'content');
    await headline(page, 'Your food is being prepared');
  });
});

describe('a browser that blocks cookies', () => {
  it('follows the order all the same, although it refuses every storage', async () => {
    const { id, token } = await placeTracked(site);
    const context = (await open('unknown')).context();
    await context.addInitScript(() => {
      for (const name of ['localStorage', 'sessionStorage', 'indexedDB']) {
        Object.defineProperty(globalThis, name, {
          get() {
            throw new DOMException('Access is denied for this document.', 'SecurityError');
          },
        });
      }
    });
    const page = await site.open({ path: `/t/${token}`, context });
    await headline(page, /^Waiting for/);
    await page.getByLabel('Language').selectOption('hi');
    await headline(page, /उत्तर की प्रतीक्षा$/);
    await STEPS.accept(site, id);
    await headline(page, 'आपका खाना बन रहा है');
  });
});

describe('a connection that breaks', () => {
  it('marks the order as old, and catches up', async () => {
    const { id, token } = await placeTracked(site);
    const page = await open(token);
    await headline(page, /^Waiting for/);
    await page.context().setOffline(true);
    await page.getByText(/^No network\. This is how it was at/).waitFor();
    expect(await accessibilityProblems(page, 'offline')).toEqual([]);
    await STEPS.accept(site, id);
    await page.context().setOffline(false);
    await headline(page, 'Your food is being prepared', RECONNECTION);
    await page.getByText(/^No network/).waitFor({ state: 'detached' });
  });

  it('shows the order after a reload without a network, and keeps the link nowhere but in its tab', async () => {
    const { id, token } = await placeTracked(site);
    const page = await open(token);
    await headline(page, /^Waiting for/);
    await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
    const kept = () =>
      page.evaluate(async () => {
        const stores = await Promise.all((await caches.keys()).map((name) => caches.open(name)));
        const requests = (await Promise.all(stores.map((cache) => cache.keys()))).flat();
        const responses = await Promise.all(requests.map((request) => caches.match(request)));
        return [...requests, ...responses].map((entry) => entry?.url ?? '');
      });
    const has = (urls: string[], part: string) => urls.some((url) => url.includes(part));
    for (const part of ['/t/-', '/assets/tracking-en-', '.css']) {
      await expect.poll(async () => has(await kept(), part), { timeout: WAIT }).toBe(true);
    }
    expect(has(await kept(), token)).toBe(false);
    site.front.disconnect();
    await page.reload();
    await headline(page, /^Waiting for/);
    await page.getByText(/^Not up to date since/).waitFor();
    site.front.connect();
    await STEPS.accept(site, id);
    await headline(page, 'Your food is being prepared', RECONNECTION);
  });

  it('keeps the order in its tab, and marks it as old, while the server does not answer', async () => {
    const { id, token } = await placeTracked(site);
    const page = await open(token);
    await headline(page, /^Waiting for/);
    const before = site.front.intercept;
    site.front.intercept = (request, response) => {
      if (!request.url?.startsWith('/v1/tracking/')) return before(request, response);
      response.writeHead(503).end();
      return true;
    };
    await page.reload();
    await headline(page, /^Waiting for/);
    await page.getByText(/^Not up to date since/).waitFor();
    await STEPS.accept(site, id);
    site.front.intercept = before;
    await headline(page, 'Your food is being prepared', RECONNECTION);
    await page.getByText(/^Not up to date since/).waitFor({ state: 'detached' });
  });

  it('survives a crash of the server', async () => {
    const { id, token } = await placeTracked(site);
    const page = await open(token);
    await headline(page, /^Waiting for/);
    await site.dabba.restart();
    await STEPS.accept(site, id);
    await headline(page, 'Your food is being prepared', RECONNECTION);
  });
});

describe('the link', () => {
  it('shows its own order only', async () => {
    const [mine, theirs] = [await placeTracked(site), await placeTracked(site, { contact: { name: 'Somebody Else' } })];
    const page = await open(mine.token);
    await headline(page, /^Waiting for/);
    const content = await page.content();
    for (const secret of [theirs.id, theirs.token, 'Somebody Else']) expect(content).not.toContain(secret);
  });

  it('that nobody issued leads to no order', async () => {
    const { token } = await placeTracked(site);
    const other = token.slice(0, -1) + (token.endsWith('A') ? 'B' : 'A');
    const page = await open(other);
    await page.getByText('This link does not lead to an order').waitFor();
    expect(await accessibilityProblems(page, 'unknown link')).toEqual([]);
  });

  it('does not leave the page with a referrer, and not in a foreign request', async () => {
    const { token } = await placeTracked(site);
    const page = await open(token);
    const response = await page.reload();
    expect(response?.headers()['referrer-policy']).toBe('no-referrer');
  });
});

describe('texts', () => {
  it('of an order are data, never code', async () => {
    const { token } = await placeTracked(site, {
      contact: { name: SCRIPT },
      note: SCRIPT,
      lines: [{ item: 'garlic-naan', quantity: 9, note: SCRIPT }],
      fulfilment: {
        type: 'delivery',
        address: { line1: SCRIPT, line2: SCRIPT, city: SCRIPT, postal_code: SCRIPT, instructions: SCRIPT },
      },
    });
    const page = await open(token);
    await headline(page, /^Waiting for/);
    expect(await page.getByText(SCRIPT).count()).toBeGreaterThanOrEqual(4);
    expect(await wasHacked(page)).toBe(false);
  });

  it('change under a translation by the browser', async () => {
    const { id, token } = await placeTracked(site, card);
    const page = await open(token, { timezoneId: 'Asia/Tokyo' });
    await headline(page, /^Waiting for/);
    await translate(page);
    await page.getByText('«Your items»').waitFor();
    await STEPS.accept(site, id);
    await headline(page, '«Your food is being prepared»');
    expect(await page.getByText(/Waiting for/).count()).toBe(0);
    await page.getByText(/«.* was charged to your card\.»/).waitFor();
    await STEPS.ready(site, id);
    await headline(page, '«Your food is ready»');
    await STEPS.pickUp(site, id);
    await STEPS.deliver(site, id);
    await headline(page, '«Delivered»');
    expect(await page.getByText('Your food').count()).toBe(0);
  });

  it.each([
    ['ar', 'rtl', /^في انتظار/],
    ['hi', 'ltr', /उत्तर की प्रतीक्षा$/],
  ])('speak %s, %s', async (locale, direction, name) => {
    const { token } = await placeTracked(site);
    const page = await open(token, { locale });
    await headline(page, name);
    expect(await page.evaluate(() => [document.documentElement.lang, document.documentElement.dir])).toEqual([
      locale,
      direction,
    ]);
    expect(await accessibilityProblems(page, locale)).toEqual([]);
  });
});

describe('time', () => {
  // The last test: advancing the clock by days ends the demo's tokens.
  it('ends the link a day after the order', async () => {
    const { id } = await site.dabba.placeOrder();
    const token = await createLink(site, id);
    await site.dabba.call('customer', 'POST', `/v1/orders/${id}/cancel`, { reason: 'changed_mind' });
    const page = await open(token);
    await headline(page, 'Order cancelled');
    await site.dabba.call('admin', 'POST', '/v1/sandbox/clock/advance', { seconds: 24 * 3_600 + 60 });
    await page.reload();
    await page.getByText('This link does not lead to an order').waitFor();
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
  });
});
