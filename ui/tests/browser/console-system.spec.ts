import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { isolate } from '../../src/lib/bidi';
import { accessibilityProblems, smallTargets } from './accessible';
import { openSite, type Site } from './site';

interface Shard {
  name: string;
  state: string;
  error?: string;
}

/** Maximum time until the page has asked the shards again, in milliseconds. It asks every ten seconds. */
const ASKED_AGAIN = 40_000;

let site: Site;

beforeAll(async () => {
  site = await openSite();
});
afterEach(() => {
  site.front.intercept = () => false;
  return site.check();
});
afterAll(() => site.close());

const open = (path: string, locale = 'en-GB') => site.open({ role: 'admin', path, options: { locale } });

/** Changes the body of the server's answer to a GET. The other requests go to the server. */
function change(path: string, by: (body: Record<string, unknown>) => unknown): void {
  site.front.intercept = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '', site.dabba.address);
    if (request.method !== 'GET' || url.pathname !== path) return false;
    const headers = { authorization: `Bearer ${site.dabba.tokens.admin}` };
    const answer = await fetch(site.dabba.address + request.url, { headers });
    const body = by((await answer.json()) as Record<string, unknown>);
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    return true;
  };
}

/** Answers as if one of two shards were dead while `dead` is true. */
function withSecondShard(state: { dead: boolean }): void {
  change('/v1/shards', (body) => {
    const [first] = body['shards'] as Shard[];
    const second = state.dead
      ? { name: 'west <b>1</b>', database: 'postgresql', state: 'unreachable', error: 'no answer within 2 s', buckets: 9 }
      : { ...first, name: 'west <b>1</b>' };
    return { ...body, shards: [first, second] };
  });
}

describe('shards', () => {
  it('are listed with their state', async () => {
    const page = await open('/console/shards');
    await page.getByText('The shard answers.').waitFor();
    const row = page.getByRole('table', { name: 'Shards' }).getByRole('row').nth(1);
    await row.getByText('Answers').waitFor();
    await row.getByText('SQLite').waitFor();
    await row.getByText('4,096 of 4,096').waitFor();
    await row.getByText(/^\d+ ms$/).waitFor();
    await page.getByText(/^Checked /).waitFor();
    expect(await accessibilityProblems(page, 'shards')).toEqual([]);
    expect(await smallTargets(page, 44)).toEqual([]);
  });

  it.each(['en-GB', 'ar-EG'])('on a phone show at which end there is more, in %s', async (locale) => {
    const viewport = { width: 390, height: 844 };
    const page = await site.open({ role: 'admin', path: '/console/shards', options: { locale, viewport } });
    const table = page.getByRole('table');
    await table.waitFor();
    const place = page.getByRole('group').filter({ has: table });
    const more = page.locator('.frame > .more');
    /** Sides of the table at which it shows that there is more. */
    const sides = async () => {
      const box = await place.boundingBox();
      const hints = await Promise.all((await more.all()).map((hint) => hint.boundingBox()));
      return hints.map((hint) => ((hint?.x ?? 0) < (box?.x ?? 0) + (box?.width ?? 0) / 2 ? 'left' : 'right')).sort();
    };
    const direction = locale === 'ar-EG' ? -1 : 1;
    const end = direction === 1 ? 'right' : 'left';
    const start = direction === 1 ? 'left' : 'right';
    await expect.poll(sides).toEqual([end]);
    expect(await accessibilityProblems(page, 'more at the end')).toEqual([]);
    const scroll = (left: number) => place.evaluate((element, by) => element.scrollBy({ left: by, behavior: 'instant' }), left);
    await scroll(100 * direction);
    await expect.poll(sides).toEqual(['left', 'right']);
    await scroll(10_000 * direction);
    await expect.poll(sides).toEqual([start]);
    await page.setViewportSize({ width: 1600, height: 844 });
    await more.first().waitFor({ state: 'detached' });
  });

  it('a shard that dies is visible in every view without a reload, and one that comes back too', async () => {
    const state = { dead: false };
    withSecondShard(state);
    const page = await open('/console/shards');
    await page.getByText('All 2 shards answer.').waitFor();
    state.dead = true;
    const alert = page.getByRole('alert').filter({ hasText: '1 shard cannot be used' });
    await alert.getByText('no answer within 2 s').waitFor({ timeout: ASKED_AGAIN });
    const rows = page.getByRole('table', { name: 'Shards' }).getByRole('row');
    // The dead shard comes first.
    await rows.nth(1).getByText('Does not answer').waitFor();
    await rows.nth(1).getByText('west <b>1</b>').waitFor();
    const navigation = page.getByRole('navigation', { name: 'Views' });
    await navigation.getByRole('link', { name: 'Shards 1' }).waitFor();
    expect(await accessibilityProblems(page, 'dead shard')).toEqual([]);
    await navigation.getByRole('link', { name: 'Orders' }).click();
    await page.getByText(`Lists lack the restaurants and orders of: ${isolate('west <b>1</b>')}.`).waitFor();
    expect(await accessibilityProblems(page, 'orders with a dead shard')).toEqual([]);
    state.dead = false;
    await page.getByText('Lists lack the restaurants').waitFor({ state: 'detached', timeout: ASKED_AGAIN });
    await navigation.getByRole('link', { name: 'Shards', exact: true }).click();
    await page.getByText('All 2 shards answer.').waitFor();
  });

  it('a server that does not answer leaves what was read, with its time', async () => {
    const page = await open('/console/shards');
    await page.getByText('The shard answers.').waitFor();
    site.front.disconnect();
    await page.getByRole('button', { name: 'Reload' }).click();
    await page.getByRole('alert').getByText('The server cannot be reached.').waitFor();
    expect(await page.getByText('The shard answers.').count()).toBe(0);
    await page.getByText(/^Checked /).waitFor();
    site.front.connect();
    // The page may have asked by itself meanwhile.
    await page.getByRole('button', { name: 'Try again' }).evaluateAll((buttons) => buttons.forEach((button) => (button as HTMLElement).click()));
    await page.getByText('The shard answers.').waitFor();
  });

  it('are shown in Arabic and Hindi', async () => {
    for (const [locale, text] of [['ar-EG', 'يجيب'], ['hi-IN', 'उत्तर देता है']] as const) {
      const page = await open('/console/shards', locale);
      await page.getByRole('cell').getByText(text).waitFor();
      expect(await accessibilityProblems(page, locale)).toEqual([]);
    }
  });
});

describe('search', () => {
  const search = async (page: Page, text: string) => {
    await page.getByRole('searchbox').fill(text);
    await page.keyboard.press('Enter');
  };
  const row = (page: Page, id: string) => page.locator(`[data-row="${id}"]`);

  it('finds every order of a customer page by page, by e-mail address and by the account’s id', async () => {
    const ids: string[] = [];
    for (let count = 0; count < 5; count += 1) ids.push((await site.dabba.placeOrder()).id);
    site.front.intercept = (request) => {
      // The server has few orders, so a page has two.
      request.url = request.url?.replace('limit=100', 'limit=2') ?? '';
      return false;
    };
    const page = await open('/console/orders');
    const { id } = await site.dabba.call<{ id: string }>('customer', 'GET', '/v1/accounts/me');
    for (const text of ['customer@dabba.example', id]) {
      await search(page, text);
      await row(page, ids[4] ?? '').waitFor();
      expect(await row(page, ids[0] ?? '').count()).toBe(0);
      await page.getByRole('button', { name: 'Show more' }).click();
      await row(page, ids[2] ?? '').waitFor();
      await page.getByRole('button', { name: 'Show more' }).click();
      await row(page, ids[0] ?? '').waitFor();
      await page.getByRole('link', { name: 'Open the account' }).waitFor();
      await page.goto('/console/orders');
    }
  });

  it('by code reads letters as people write them, and asks the server once', async () => {
    const { id } = await site.dabba.placeOrder();
    const { display_code: code } = await site.dabba.call<{ display_code: string }>('admin', 'GET', `/v1/orders/${id}`);
    const page = await open('/console/orders');
    const lists = () => site.front.requests.filter((request) => request === 'GET /v1/orders').length;
    await page.getByText('Live', { exact: true }).waitFor();
    await row(page, id).waitFor();
    const before = lists();
    await search(page, code.toLowerCase().replaceAll('0', 'o').replaceAll('1', 'l'));
    await page.getByRole('heading', { level: 2, name: code }).waitFor();
    expect(lists() - before).toBe(1);
  });

  it('states from when on it has searched', async () => {
    change('/v1/orders', (body) => ({ ...body, orders: [], searched_since: '2026-11-28T09:30:00Z', incomplete: true }));
    const page = await open('/console/orders?q=ZZZZZ');
    await page.getByText(/Orders placed before 28 Nov 2026, \d\d:30 were not searched\./).waitFor();
    await page.getByText('A shard does not answer. Entries are missing').waitFor();
    expect(await accessibilityProblems(page, 'bounded search')).toEqual([]);
  });
});
