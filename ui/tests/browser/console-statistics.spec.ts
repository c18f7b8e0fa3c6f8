import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { isolate } from '../../src/lib/bidi';
import { accessibilityProblems, smallTargets } from './accessible';
import { openSite, type Site } from './site';

interface Statistics {
  from: string;
  to: string;
  step: number;
  complete_until: string;
  counted_until: string;
  missing_shards?: string[];
  series: { name: string; kind?: string; unit?: string; queue?: string; points: { at: string; count?: number }[] }[];
}

let site: Site;

beforeAll(async () => {
  site = await openSite();
});
afterEach(() => {
  site.front.intercept = () => false;
  return site.check();
});
afterAll(() => site.close());

const open = (path: string, options = {}) => site.open({ role: 'admin', path, options: { locale: 'en-GB', ...options } });
const read = (query = '') => site.dabba.call<Statistics>('admin', 'GET', `/v1/statistics${query}`);
const total = (page: Page, name: string) =>
  page.getByRole('region', { name: 'Totals' }).locator('div', { hasText: name }).locator('dd').first();

/** Changes the server's answer to a read of statistics. */
function change(by: (statistics: Statistics) => Statistics): void {
  site.front.intercept = async (request: IncomingMessage, response: ServerResponse) => {
    if (request.method !== 'GET' || !request.url?.startsWith('/v1/statistics')) return false;
    const headers = { authorization: `Bearer ${site.dabba.tokens.admin}` };
    const answer = await fetch(site.dabba.address + request.url, { headers });
    const body = JSON.stringify(by((await answer.json()) as Statistics));
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(body);
    return true;
  };
}

/** Makes a number of orders of the first step the only ones of the range. */
const placedAtFirst = (count: number) =>
  change((statistics) => {
    const until = { complete_until: statistics.to, counted_until: statistics.to };
    const placed = { name: 'orders_placed', kind: 'count', unit: 'orders', points: [{ at: statistics.from, count }] };
    return { ...statistics, ...until, series: [placed] };
  });

function counted(statistics: Statistics, name: string): number {
  const points = statistics.series.find((series) => series.name === name)?.points ?? [];
  return points.reduce((sum, point) => sum + (point.count ?? 0), 0);
}

describe('real statistics', () => {
  beforeAll(async () => {
    const { call } = site.dabba;
    const ids: string[] = [];
    for (let count = 0; count < 4; count += 1) ids.push((await site.dabba.placeOrder()).id);
    const [delivered, cancelled] = ids as [string, string];
    await call('restaurant', 'POST', `/v1/orders/${delivered}/accept`, { preparation_minutes: 20 });
    await call('restaurant', 'POST', `/v1/orders/${delivered}/ready`);
    await call('courier', 'POST', `/v1/orders/${delivered}/assign`, {});
    await call('courier', 'POST', `/v1/orders/${delivered}/pick-up`);
    await call('courier', 'POST', `/v1/orders/${delivered}/deliver`, {});
    await call('customer', 'POST', `/v1/orders/${cancelled}/cancel`, { reason: 'changed_mind' });
    const all = async () => {
      const statistics = await read();
      return counted(statistics, 'orders_cancelled') === 1 && counted(statistics, 'orders_delivered') === 1;
    };
    await vi.waitUntil(all, { timeout: 40_000, interval: 300 });
    // The minute of the orders must be over.
    const { to } = await read();
    await call('admin', 'POST', '/v1/sandbox/clock/advance', { seconds: 120 });
    const isOver = async () => Date.parse((await read()).complete_until) > Date.parse(to) + 60_000;
    await vi.waitUntil(isOver, { timeout: 40_000, interval: 300 });
  }, 180_000);

  it('have totals and plots for each range, whose choice is in the address', async () => {
    const page = await open('/console/statistics?range=1h');
    await total(page, 'Orders placed').getByText('4', { exact: true }).waitFor();
    expect(await total(page, 'Orders delivered').textContent()).toBe('1');
    expect(await total(page, 'Orders ended early').textContent()).toBe('1');
    expect(await total(page, 'Mean time to accept').textContent()).toMatch(/^[\d.,]+\s(secs?|mins?)$/);
    await page.getByRole('figure').filter({ hasText: 'Orders per minute' }).waitFor();
    await page.getByRole('slider', { name: /^Time until the restaurant accepts, in / }).waitFor();
    await page.getByText(/^Counted until \d\d:\d\d\./).waitFor();
    expect(await accessibilityProblems(page, 'statistics')).toEqual([]);
    expect(await smallTargets(page, 44)).toEqual([]);
    for (const [label, search] of [['6 hours', '?range=6h'], ['24 hours', '?range=24h'], ['7 days', '?range=7d']] as const) {
      await page.getByRole('button', { name: label }).click();
      await page.waitForURL((url) => url.search === search);
      await page.getByRole('button', { name: label, pressed: true }).waitFor();
      await page.getByText('Loading …').waitFor({ state: 'detached' });
      await total(page, 'Orders placed').getByText('4', { exact: true }).waitFor();
    }
    await page.goBack();
    await page.getByRole('button', { name: '24 hours', pressed: true }).waitFor();
    expect(await page.getByRole('alert').count()).toBe(0);
  });

  it('are those of 24 hours unless the address names another range', async () => {
    const page = await open('/console/statistics');
    await page.getByRole('button', { name: '24 hours', pressed: true }).waitFor();
    await total(page, 'Orders placed').getByText('4', { exact: true }).waitFor();
    expect(new URL(page.url()).search).toBe('');
    await page.getByRole('button', { name: '7 days' }).click();
    await page.getByRole('button', { name: '7 days', pressed: true }).waitFor();
    await page.goBack();
    await page.getByRole('button', { name: '24 hours', pressed: true }).waitFor();
  });

  it('show a single value as a dot that can be seen', async () => {
    const page = await open('/console/statistics?range=1h');
    const delivery = page.getByRole('slider', { name: /^Time from order to delivery, in / });
    await delivery.waitFor();
    const dots = await delivery.locator('circle.lone').all();
    expect(dots).toHaveLength(2);
    for (const dot of dots) expect((await dot.boundingBox())?.width ?? 0).toBeGreaterThanOrEqual(7);
  });

  it('are read by the keyboard, in the plot and in its table', async () => {
    const page = await open('/console/statistics?range=1h');
    const plot = page.getByRole('slider', { name: 'Orders per minute' });
    await plot.focus();
    const text = () => plot.getAttribute('aria-valuetext');
    await page.keyboard.press('Home');
    expect(await text()).toMatch(/^\d\d:\d\d, Placed 0, Delivered 0, Ended early 0$/);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    const table = page.getByRole('table', { name: 'Orders per minute' });
    await table.waitFor();
    const placed = await table.locator('tbody tr td:nth-child(2)').allTextContents();
    const sum = placed.reduce((all, value) => all + (Number(value) || 0), 0);
    expect(sum).toBeGreaterThan(0);
    expect(await accessibilityProblems(page, 'table of a plot')).toEqual([]);
  });

  it.each([
    ['ar-EG', 'dark', 'الطلبات في الدقيقة', 'الطلبات في الساعة', /٤٫٢/, /٤٨/],
    ['hi-IN', 'light', 'प्रति मिनट ऑर्डर', 'प्रति घंटे ऑर्डर', /4\.2/, /48/],
    ['en-GB', 'light', 'Orders per minute', 'Orders per hour', /Placed 4\.2,/, /Placed 48,/],
  ] as const)('are shown in %s, %s, rates of less than one order per minute by the hour', async (...row) => {
    const [locale, colorScheme, perMinute, perHour, many, few] = row;
    // Steps of five minutes.
    placedAtFirst(21);
    const page = await open('/console/statistics?range=6h', { locale, colorScheme });
    const first = async (name: string) => {
      const plot = page.getByRole('slider', { name });
      await plot.focus();
      await page.keyboard.press('Home');
      return plot.getAttribute('aria-valuetext');
    };
    expect(await first(perMinute)).toMatch(many);
    placedAtFirst(4);
    await page.reload();
    expect(await first(perHour)).toMatch(few);
    site.front.intercept = () => false;
    await page.reload();
    await page.getByRole('slider').first().waitFor();
    expect(await page.evaluate(() => document.documentElement.dir)).toBe(locale === 'ar-EG' ? 'rtl' : 'ltr');
    const digits = locale === 'ar-EG' ? ['٢٤ ساعة', 'المئين ٩٩'] : locale === 'hi-IN' ? ['24 घंटे', '99वाँ पर्सेंटाइल'] : ['24 hours', '99th percentile'];
    for (const text of digits) await page.getByText(text, { exact: true }).first().waitFor();
    expect(await accessibilityProblems(page, locale)).toEqual([]);
  });
});

describe('what is missing is said plainly', () => {
  it('a shard that does not answer', async () => {
    change((statistics) => ({ ...statistics, missing_shards: ['west <b>1</b>'] }));
    const page = await open('/console/statistics');
    await page.getByText(`The numbers lack a shard: ${isolate('west <b>1</b>')}`).waitFor();
    expect(await page.getByText(/^Counted until/).count()).toBe(0);
    expect(await accessibilityProblems(page, 'missing shard')).toEqual([]);
  });

  it('events that are not counted yet', async () => {
    change((statistics) => ({ ...statistics, complete_until: statistics.from, counted_until: statistics.from }));
    const page = await open('/console/statistics');
    await page.getByText('A shard has not counted any events of this range yet.').waitFor();
    change((statistics) => {
      const until = new Date(Date.parse(statistics.to) - 20 * 60_000).toISOString();
      return { ...statistics, complete_until: until, counted_until: until };
    });
    await page.reload();
    await page.getByText(/^Dabba has counted the events only until \d\d:\d\d\. Later numbers are missing\.$/).waitFor();
    // The plot has a gap there, and no zero.
    const plot = page.getByRole('slider', { name: /^Orders per (minute|hour)$/ });
    await plot.focus();
    await page.keyboard.press('End');
    expect(await plot.getAttribute('aria-valuetext')).toMatch(/Placed –, Delivered –, Ended early –$/);
  });

  it('a range in which nothing was recorded, and a plot without values', async () => {
    change((statistics) => ({ ...statistics, series: [] }));
    const page = await open('/console/statistics');
    await page.getByText('Nothing was recorded in this range').waitFor();
    expect(await accessibilityProblems(page, 'no statistics')).toEqual([]);
    change((statistics) => ({ ...statistics, series: statistics.series.filter(({ name }) => name === 'orders_placed') }));
    await page.reload();
    await page.getByRole('slider', { name: /^Orders per (minute|hour)$/ }).waitFor();
    expect(await page.getByText('No values in this range.').count()).toBeGreaterThan(3);
    expect(await page.getByText('none measured').count()).toBe(4);
    expect(await accessibilityProblems(page, 'plots without values')).toEqual([]);
  });

  it('a server that does not answer leaves the numbers', async () => {
    const page = await open('/console/statistics?range=1h');
    await total(page, 'Orders placed').getByText('4', { exact: true }).waitFor();
    site.front.disconnect();
    await page.getByRole('button', { name: '6 hours' }).click();
    await page.getByRole('alert').getByText('The server cannot be reached.').waitFor();
    await total(page, 'Orders placed').getByText('4', { exact: true }).waitFor();
    site.front.connect();
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByRole('alert').waitFor({ state: 'detached' });
  });
});
