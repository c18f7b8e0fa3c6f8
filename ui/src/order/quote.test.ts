import { beforeEach, describe, expect, it, vi } from 'vitest';
import { setMessages } from '../lib/i18n/index.svelte';
import { ManualTimers, settle } from '../lib/testing/timers';
import type { Cart } from './cart';
import en from './messages/en';
import { obstacleTexts } from './obstacles';
import { LiveQuote, obstaclesFor, QUOTE_LIFETIME, takesCards } from './quote.svelte';
import type { Obstacle, Quote } from './types';

/** What the server answers: a status, and a pause that it asks for. */
let answers: [status: number, retryAfter?: string][] = [];
let requests = 0;

vi.mock('../lib/api', async (original) => {
  const real = await original<typeof import('../lib/api')>();
  const POST = async () => {
    requests += 1;
    const [status, retryAfter]: [number, string?] = answers.shift() ?? [200];
    const response = new Response(null, { status, ...(retryAfter && { headers: { 'retry-after': retryAfter } }) });
    return status < 400 ? { data: { obstacles: [] }, response } : { error: {}, response };
  };
  return { ...real, api: { POST } };
});

const NOW = Date.parse('2026-05-01T10:00:00Z');
const CONTEXT = {
  zone: 'Europe/London',
  currency: 'GBP',
  subtotal: 780,
  now: NOW,
  nameOf: (item: string) => ({ dal: 'Black Dal' })[item] ?? item,
};
/** The texts without the characters that only control direction and spacing. */
const texts = (obstacle: Omit<Obstacle, 'detail'>) =>
  obstacleTexts({ detail: 'As the server says.', ...obstacle }, CONTEXT).map((text) =>
    text.replace(/[\u2066-\u2069]/g, '').replace(/[\u00a0\u202f]/g, ' '),
  );
const quote = (...obstacles: Omit<Obstacle, 'detail'>[]) =>
  ({ obstacles: obstacles.map((obstacle) => ({ detail: '', ...obstacle })) }) as unknown as Quote;

beforeEach(() => setMessages('en', en));

describe('obstacles in words', () => {
  it('state until when the restaurant takes no orders, with the day if it is far', () => {
    expect(texts({ code: 'restaurant_closed', opens_at: '2026-05-01T16:30:00Z' })).toEqual([
      'The restaurant is closed until 05:30 PM.',
    ]);
    expect(texts({ code: 'restaurant_closed', opens_at: '2026-05-03T16:30:00Z' })[0]).toContain('May 3, 2026');
    expect(texts({ code: 'restaurant_closed' })).toEqual(['The restaurant is closed.']);
    expect(texts({ code: 'restaurant_paused', until: '2026-05-01T10:20:00Z' })).toEqual([
      'The restaurant takes no orders until 11:20 AM.',
    ]);
    // A pause that ends at night lasts until the restaurant opens.
    expect(
      texts({ code: 'restaurant_paused', until: '2026-05-01T10:20:00Z', opens_at: '2026-05-01T15:00:00Z' })[0],
    ).toContain('04:00 PM');
  });

  it('state what is missing to the minimum', () => {
    expect(texts({ code: 'below_minimum_order', minimum: 1200 })).toEqual([
      'Deliveries begin at £12.00. Add £4.20 more, or collect the order yourself.',
    ]);
  });

  it('name the items that are sold out, and how many are left', () => {
    const shortages = [
      { item: 'dal', available: 0 },
      { item: 'rice', available: 2 },
    ];
    expect(texts({ code: 'out_of_stock', shortages })).toEqual(['Sold out: Black Dal.', 'Only 2 left: rice.']);
    const items = [{ item: 'dal', until: '2026-05-01T16:30:00Z' }, { item: 'rice' }];
    expect(texts({ code: 'items_unavailable', items })[0]).toContain('until 05:30 PM: Black Dal');
    expect(texts({ code: 'items_unavailable', items })[1]).toContain('Not available: rice');
  });

  it('of a newer server speak for themselves', () => {
    expect(texts({ code: 'slot_full' })).toEqual(['As the server says.']);
  });
});

describe('cards', () => {
  it('are offered unless the server takes none', () => {
    expect(takesCards(quote())).toBe(true);
    expect(takesCards(quote({ code: 'restaurant_closed' }))).toBe(true);
    expect(takesCards(quote({ code: 'not_payable_by_card' }))).toBe(false);
    // It takes cards, but not this total.
    expect(takesCards(quote({ code: 'not_payable_by_card', amount: 10, currency: 'GBP' }))).toBe(true);
  });

  it('keep nobody from paying in cash', () => {
    const both = quote({ code: 'not_payable_by_card' }, { code: 'restaurant_closed' });
    expect(obstaclesFor(both, 'cash').map(({ code }) => code)).toEqual(['restaurant_closed']);
    expect(obstaclesFor(both, 'card')).toHaveLength(2);
  });
});

describe('the live quote', () => {
  const cart: Cart = [{ id: '1', item: 'rice', quantity: 1, options: [], note: '' }];

  function start() {
    requests = 0;
    const timers = new ManualTimers();
    const page = { hidden: false };
    const live = new LiveQuote('restaurant', timers, () => page.hidden);
    live.request(cart, 'collection', 0);
    return { timers, page, live };
  }

  it('is requested again soon after a failure, and later each time', async () => {
    answers = [[503], [503], [503]];
    const { timers, live } = start();
    await timers.advance(0);
    expect(live.error?.status).toBe(503);
    expect(requests).toBe(1);
    await timers.advance(1_000);
    expect(requests).toBe(2);
    await timers.advance(1_999);
    expect(requests).toBe(2);
    await timers.advance(1);
    expect(requests).toBe(3);
    await timers.advance(4_000);
    expect(requests).toBe(4);
    expect(live.error).toBeUndefined();
    await timers.advance(QUOTE_LIFETIME - 1);
    expect(requests).toBe(4);
    await timers.advance(1);
    expect(requests).toBe(5);
  });

  it('waits as long as the server asks, and for a refusal as long as for a price', async () => {
    answers = [[503, '20'], [422]];
    const { timers } = start();
    await timers.advance(19_999);
    expect(requests).toBe(1);
    await timers.advance(1);
    expect(requests).toBe(2);
    await timers.advance(QUOTE_LIFETIME - 1);
    expect(requests).toBe(2);
  });

  it('rests while nobody sees the page', async () => {
    answers = [];
    const { timers, page, live } = start();
    await timers.advance(0);
    page.hidden = true;
    await timers.advance(3 * QUOTE_LIFETIME);
    expect(requests).toBe(1);
    page.hidden = false;
    live.wake();
    await settle();
    expect(requests).toBe(2);
    live.wake();
    await timers.advance(QUOTE_LIFETIME);
    expect(requests).toBe(3);
  });
});
