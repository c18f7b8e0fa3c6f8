import { beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError, type Session } from '../lib/api';
import { ManualTimers, settle } from '../lib/testing/timers';
import {
  createAttempt,
  findPlaced,
  keepAttempt,
  keptAttempt,
  POLL_INTERVAL,
  RESEND_LIMIT,
  retryDelay,
  RETRY_LIMIT,
  SETTLE_LIMIT,
  verdictOf,
  type Attempt,
} from './attempt';
import { Placing } from './placing.svelte';
import type { OrderRequest } from './types';

type Call = { path: string; key: string | undefined; body: unknown };
type Reply = { status: number; body?: Record<string, unknown> } | 'lost';
type Answer = Reply | Promise<Reply>;

const calls: Call[] = [];
let answers: Answer[] = [];

/** Stands for the network: answers in order, and records what was sent. */
vi.mock('../lib/api', async (original) => {
  const real = await original<typeof import('../lib/api')>();
  const answer = async (path: string, init: { params: { header?: Record<string, string> }; body?: unknown }) => {
    calls.push({ path, key: init.params.header?.['Idempotency-Key'], body: init.body });
    const next = await answers.shift();
    if (next === undefined) throw new Error(`Nobody expects ${path}`);
    if (next === 'lost') throw real.ApiError.local('network');
    const response = new Response(null, { status: next.status });
    return next.status < 400 ? { data: next.body, response } : { error: next.body, response };
  };
  return { ...real, api: { POST: answer, GET: answer } };
});

const RESTAURANT = 'restaurant';
const session = (account: string) => ({ account: { id: account, role: 'customer' } }) as Session;
const body: OrderRequest = {
  lines: [{ item: 'rice', quantity: 2 }],
  fulfilment: { type: 'collection' },
  payment_method: 'cash',
  expected_total: 1499,
};
const PLACED: Reply = { status: 201, body: { id: 'order-1' } };
const LINK: Reply = { status: 201, body: { token: 'T', path: '/t/T' } };

let timers: ManualTimers;
let arrived: string[];
let placed: { order: string; lines: OrderRequest['lines'] }[];
let placing: Placing;

function openTab(): Placing {
  return new Placing(RESTAURANT, { placed: (order, lines) => placed.push({ order, lines }), leave: (path) => arrived.push(path) }, timers);
}

function reload(): void {
  timers = new ManualTimers();
  placing = openTab();
}

beforeEach(() => {
  const kept = new Map<string, string>();
  vi.stubGlobal('localStorage', {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => kept.set(key, value),
    removeItem: (key: string) => kept.delete(key),
  });
  calls.length = 0;
  answers = [];
  arrived = [];
  placed = [];
  reload();
});

const orders = () => calls.filter(({ path }) => path.endsWith('/orders'));

describe('placing', () => {
  it('sends one order and leads to its tracking page', async () => {
    answers = [PLACED, LINK];
    placing.place(session('a'), body);
    placing.place(session('a'), body);
    await settle();
    expect(orders()).toHaveLength(1);
    expect(orders()[0]).toMatchObject({ body, key: expect.stringMatching(/^[0-9a-f-]{36}$/) as string });
    expect(placed).toEqual([{ order: 'order-1', lines: body.lines }]);
    expect(arrived).toEqual(['/t/T']);
    expect(keptAttempt(RESTAURANT)).toBeUndefined();
  });

  it('empties the cart also if the order gets no link, and does not ask for one forever', async () => {
    answers = [PLACED, { status: 409, body: { code: 'too_many_tracking_links' } }];
    placing.place(session('a'), body);
    await settle();
    expect(placed).toHaveLength(1);
    expect(placing.state).toMatchObject({ status: 'placed', error: { code: 'too_many_tracking_links' } });
    expect(keptAttempt(RESTAURANT)).toBeUndefined();
    placing.reset();
    expect(placing.busy).toBe(false);
  });

  it('fetches the link after a sign-in if the session ended in between', async () => {
    answers = [PLACED, { status: 401 }, LINK];
    placing.place(session('a'), body);
    await settle();
    expect(placing.state.status).toBe('sign_in');
    placing.resume(session('a'));
    await settle();
    expect(orders()).toHaveLength(1);
    expect(arrived).toEqual(['/t/T']);
  });

  it('keeps the attempt before the first request leaves', async () => {
    answers = ['lost'];
    placing.place(session('a'), body);
    expect(keptAttempt(RESTAURANT)).toMatchObject({ body, account: 'a' });
    await settle();
    expect(keptAttempt(RESTAURANT)?.key).toBe(orders()[0]?.key);
  });

  it('retries with the same key and body until there is an answer', async () => {
    answers = ['lost', { status: 503 }, { status: 500 }, { status: 429 }, PLACED, LINK];
    placing.place(session('a'), body);
    await settle();
    for (let retry = 1; retry <= 4; retry += 1) {
      expect(placing.state).toMatchObject({ status: 'waiting', retries: retry });
      await timers.advance(retryDelay(retry - 1, undefined));
    }
    expect(new Set(orders().map(({ key }) => key)).size).toBe(1);
    expect(new Set(orders().map((call) => JSON.stringify(call.body))).size).toBe(1);
    expect(arrived).toEqual(['/t/T']);
  });

  it('retries at once when there is a network again, and not twice', async () => {
    answers = ['lost', PLACED, LINK];
    placing.place(session('a'), body);
    await settle();
    placing.retryNow();
    await settle();
    await timers.advance(RETRY_LIMIT);
    expect(orders()).toHaveLength(2);
    expect(arrived).toEqual(['/t/T']);
  });

  it('asks instead of ordering when it takes too long', async () => {
    answers = Array.from({ length: 40 }, () => 'lost' as const);
    placing.place(session('a'), body);
    await settle();
    const before = timers.monotonic();
    while (placing.state.status === 'waiting') await timers.advance(1_000);
    const waited = timers.monotonic() - before;
    expect(placing.state).toMatchObject({ status: 'unsettled', mayResend: true });
    expect(waited).toBeGreaterThanOrEqual(RETRY_LIMIT);
    expect(waited).toBeLessThan(RETRY_LIMIT + 20_000);
    expect(keptAttempt(RESTAURANT)).toBeDefined();
    answers = [PLACED, LINK];
    placing.resend();
    await settle();
    expect(new Set(orders().map(({ key }) => key)).size).toBe(1);
    expect(arrived).toEqual(['/t/T']);
  });

  it('shows a refusal and forgets the attempt', async () => {
    answers = [{ status: 409, body: { code: 'restaurant_closed' } }];
    placing.place(session('a'), body);
    await settle();
    expect(placing.state).toMatchObject({ status: 'refused', error: { code: 'restaurant_closed' } });
    expect(keptAttempt(RESTAURANT)).toBeUndefined();
    expect(placing.busy).toBe(false);
  });

  it('asks at a new price, and orders at it with another key', async () => {
    const quote = { amounts: { total: 1599 } };
    answers = [{ status: 409, body: { code: 'menu_changed', quote } }, PLACED, LINK];
    placing.place(session('a'), body);
    await settle();
    expect(placing.state).toMatchObject({ status: 'price', before: 1499, quote });
    expect(keptAttempt(RESTAURANT)).toBeUndefined();
    placing.agree();
    await settle();
    const [first, second] = orders();
    expect(second?.body).toEqual({ ...body, expected_total: 1599 });
    expect(second?.key).not.toBe(first?.key);
    expect(arrived).toEqual(['/t/T']);
  });
});

describe('two tabs', () => {
  const keys = () => new Set(orders().map(({ key }) => key));
  const foreign = (changes: Partial<Attempt> = {}) => ({ ...createAttempt('a', body, Date.now()), ...changes });

  it('place one order: the attempt that waits in one tab goes first in the other', async () => {
    answers = ['lost', PLACED, LINK, PLACED, LINK];
    placing.place(session('a'), body);
    await settle();
    const other = openTab();
    other.reset();
    other.place(session('a'), body);
    await settle();
    await timers.advance(RETRY_LIMIT);
    expect(orders()).toHaveLength(3);
    expect(keys().size).toBe(1);
    expect(arrived).toEqual(['/t/T', '/t/T']);
    expect(keptAttempt(RESTAURANT)).toBeUndefined();
  });

  it('place one order at a new price, too', async () => {
    answers = [{ status: 409, body: { code: 'menu_changed', quote: { amounts: { total: 1599 } } } }, PLACED, LINK];
    placing.place(session('a'), body);
    await settle();
    const other = foreign();
    keepAttempt(RESTAURANT, other);
    placing.agree();
    await settle();
    expect(orders().at(-1)).toMatchObject({ key: other.key, body });
  });

  it.each<[string, Reply[]]>([
    ['a refusal', [{ status: 409, body: { code: 'restaurant_closed' } }]],
    ['a new price', [{ status: 409, body: { code: 'menu_changed', quote: { amounts: { total: 1599 } } } }]],
    ['the end of the session', [{ status: 401 }]],
  ])('keep each other’s attempts at %s', async (_, replies) => {
    answers = replies;
    placing.place(session('a'), body);
    const other = foreign();
    keepAttempt(RESTAURANT, other);
    await settle();
    expect(keptAttempt(RESTAURANT)).toEqual(other);
  });

  it('keep each other’s attempts when an order gets its link, or none', async () => {
    for (const link of [LINK, { status: 409, body: { code: 'too_many_tracking_links' } }]) {
      let answer: (answer: Reply) => void = () => undefined;
      answers = [PLACED, new Promise<Reply>((resolve) => (answer = resolve))];
      reload();
      placing.place(session('a'), body);
      await settle();
      const other = foreign();
      keepAttempt(RESTAURANT, other);
      answer(link);
      await settle();
      expect(keptAttempt(RESTAURANT)).toEqual(other);
      keepAttempt(RESTAURANT, { ...other, account: 'b' });
    }
  });

  it('send no attempt again that the other tab has settled or given up', async () => {
    for (const changes of [{}, { givenUp: true }]) {
      answers = ['lost', changes.givenUp ? { status: 200, body: { orders: [] } } : PLACED, LINK];
      calls.length = 0;
      reload();
      placing.place(session('a'), body);
      await settle();
      const other = foreign({ sentAt: Date.now(), ...changes });
      keepAttempt(RESTAURANT, other);
      placing.retryNow();
      await settle();
      expect(orders().slice(1).map(({ key }) => key)).toEqual([changes.givenUp ? undefined : other.key]);
      keepAttempt(RESTAURANT, { ...other, account: 'b' });
    }
  });
});

describe('a session that has ended', () => {
  it('writes nothing: after the sign-in the customer orders anew', async () => {
    answers = [{ status: 401 }];
    placing.place(session('a'), body);
    await settle();
    expect(placing.state.status).toBe('sign_in');
    placing.resume(session('a'));
    expect(placing.state.status).toBe('idle');
    expect(orders()).toHaveLength(1);
  });

  it('leaves the decision to the customer if an earlier request had no answer', async () => {
    answers = ['lost', { status: 401 }];
    placing.place(session('a'), body);
    await settle();
    await timers.advance(1_000);
    expect(placing.state.status).toBe('sign_in');
    placing.resume(session('a'));
    expect(placing.state).toMatchObject({ status: 'unsettled', mayResend: true });
  });

  it('leaves the decision to the customer also if the attempt was sent again on request', async () => {
    answers = Array.from({ length: 40 }, () => 'lost' as const);
    placing.place(session('a'), body);
    await settle();
    while (placing.state.status === 'waiting') await timers.advance(1_000);
    answers = [{ status: 401 }];
    placing.resend();
    await settle();
    expect(placing.state.status).toBe('sign_in');
    expect(keptAttempt(RESTAURANT)?.key).toBe(orders()[0]?.key);
    placing.resume(session('a'));
    expect(placing.state).toMatchObject({ status: 'unsettled', mayResend: true });
    // The next attempt has no earlier request.
    placing.reset();
    answers = [{ status: 401 }];
    placing.place(session('a'), body);
    await settle();
    placing.resume(session('a'));
    expect(placing.state.status).toBe('idle');
  });

  it('never sends the attempt of another account', async () => {
    keepAttempt(RESTAURANT, createAttempt('a', body, Date.now()));
    placing.resume(session('b'));
    await settle();
    expect(calls).toEqual([]);
    expect(placing.state.status).toBe('idle');
    expect(keptAttempt(RESTAURANT)).toBeUndefined();
  });
});

describe('a person who signs out', () => {
  it('leaves nothing, whatever the request that is under way brings', async () => {
    let answer: (answer: Reply) => void = () => undefined;
    answers = [new Promise<Reply>((resolve) => (answer = resolve))];
    placing.place(session('a'), body);
    await settle();
    placing.reset();
    answer(PLACED);
    await settle();
    expect(placing.state.status).toBe('idle');
    expect(placed).toEqual([]);
    expect(keptAttempt(RESTAURANT)).toBeUndefined();
  });

  it('leaves no retry that another account would send', async () => {
    answers = ['lost'];
    placing.place(session('a'), body);
    await settle();
    placing.reset();
    await timers.advance(RETRY_LIMIT);
    expect(orders()).toHaveLength(1);
  });
});

describe('after a reload', () => {
  const attempt = (age: number): Attempt => createAttempt('a', body, Date.now() - age);

  it('goes on with the same key', async () => {
    const kept = attempt(5_000);
    keepAttempt(RESTAURANT, kept);
    answers = [PLACED, LINK];
    placing.resume(session('a'));
    await settle();
    expect(orders()).toEqual([expect.objectContaining({ key: kept.key, body })]);
    expect(arrived).toEqual(['/t/T']);
  });

  it('only fetches the link of an order that is placed', async () => {
    answers = [PLACED, 'lost'];
    placing.place(session('a'), body);
    await settle();
    expect(placing.state).toMatchObject({ status: 'placed', order: 'order-1', error: { code: 'network' } });
    reload();
    answers = [LINK];
    placing.resume(session('a'));
    await settle();
    expect(orders()).toHaveLength(1);
    expect(arrived).toEqual(['/t/T']);
  });

  it('asks about an attempt that is not fresh, whatever the clock of the device says', () => {
    for (const age of [RETRY_LIMIT + 1_000, -RETRY_LIMIT - 1_000]) {
      reload();
      keepAttempt(RESTAURANT, attempt(age));
      placing.resume(session('a'));
      expect(placing.state).toMatchObject({ status: 'unsettled', mayResend: true });
    }
    reload();
    keepAttempt(RESTAURANT, attempt(RESEND_LIMIT + 1_000));
    placing.resume(session('a'));
    expect(placing.state).toMatchObject({ status: 'unsettled', mayResend: false });
    placing.resend();
    expect(calls).toEqual([]);
  });

  const order = (changes = {}) => ({
    id: 'order-1',
    restaurant_id: RESTAURANT,
    placed_at: new Date(Date.now() - RETRY_LIMIT).toISOString(),
    amounts: { total: 1499 },
    lines: [{ item: 'rice', quantity: 2 }],
    ...changes,
  });

  it('finds the order when the customer gives up after all', async () => {
    keepAttempt(RESTAURANT, attempt(RETRY_LIMIT + 1_000));
    placing.resume(session('a'));
    answers = [{ status: 200, body: { orders: [order()] } }, LINK];
    await placing.giveUp();
    expect(arrived).toEqual(['/t/T']);
  });

  it('forgets the attempt if there is no order', async () => {
    keepAttempt(RESTAURANT, attempt(RETRY_LIMIT + 1_000));
    placing.resume(session('a'));
    answers = [{ status: 200, body: { orders: [] } }];
    await placing.giveUp();
    expect(placing.state.status).toBe('idle');
    expect(keptAttempt(RESTAURANT)).toBeUndefined();
  });

  it('waits for a request that is still on its way when the customer gives up, also over a reload', async () => {
    const kept = { ...attempt(RETRY_LIMIT + 1_000), sentAt: Date.now() };
    keepAttempt(RESTAURANT, kept);
    placing.resume(session('a'));
    answers = [{ status: 200, body: { orders: [] } }];
    await placing.giveUp();
    expect(placing.state.status).toBe('settling');
    placing.place(session('a'), body);
    reload();
    answers = [{ status: 200, body: { orders: [] } }, { status: 200, body: { orders: [order()] } }, LINK];
    placing.resume(session('a'));
    await settle();
    expect(placing.state.status).toBe('settling');
    await timers.advance(POLL_INTERVAL);
    expect(arrived).toEqual(['/t/T']);
    expect(orders()).toHaveLength(3);
    expect(calls.every(({ key }) => key === undefined)).toBe(true);
  });

  it('forgets the attempt once its last request can no longer place the order', async () => {
    keepAttempt(RESTAURANT, { ...attempt(RETRY_LIMIT + 1_000), sentAt: Date.now() });
    placing.resume(session('a'));
    answers = Array.from({ length: 40 }, () => ({ status: 200, body: { orders: [] } }));
    const before = timers.monotonic();
    await placing.giveUp();
    while (placing.state.status === 'settling') await timers.advance(1_000);
    expect(placing.state.status).toBe('idle');
    // The last poll comes after the limit, less the time that the test itself took.
    expect(timers.monotonic() - before).toBeGreaterThan(SETTLE_LIMIT - 5_000);
    expect(timers.monotonic() - before).toBeLessThan(SETTLE_LIMIT + POLL_INTERVAL);
    expect(keptAttempt(RESTAURANT)).toBeUndefined();
  });

  it.each([RETRY_LIMIT, RESEND_LIMIT])('asks for a sign-in if it may not check, and goes on after it (%i ms old)', async (age) => {
    keepAttempt(RESTAURANT, attempt(age + 1_000));
    placing.resume(session('a'));
    answers = [{ status: 401 }];
    await placing.giveUp();
    expect(placing.state.status).toBe('sign_in');
    answers = [{ status: 200, body: { orders: [] } }];
    placing.resume(session('a'));
    await settle();
    expect(placing.state.status).toBe('idle');
    expect(keptAttempt(RESTAURANT)).toBeUndefined();
    expect(calls.every(({ key }) => key === undefined)).toBe(true);
  });

  it('keeps asking if it cannot check', async () => {
    keepAttempt(RESTAURANT, attempt(RETRY_LIMIT + 1_000));
    placing.resume(session('a'));
    answers = ['lost'];
    await placing.giveUp();
    expect(placing.state).toMatchObject({ status: 'unsettled', mayResend: true });
    expect(keptAttempt(RESTAURANT)).toBeDefined();
  });

  it.each([
    ['of another restaurant', { restaurant_id: 'other' }],
    ['of before the attempt', { placed_at: new Date(Date.now() - 2 * RETRY_LIMIT).toISOString() }],
    ['of another total', { amounts: { total: 1500 } }],
    ['of another quantity', { lines: [{ item: 'rice', quantity: 3 }] }],
  ])('does not take an order %s for it', (_, changes) => {
    expect(findPlaced([order(changes)], RESTAURANT, attempt(RETRY_LIMIT))).toBeUndefined();
    expect(findPlaced([order(changes), order()], RESTAURANT, attempt(RETRY_LIMIT))?.id).toBe('order-1');
  });
});

describe('the verdict on an answer', () => {
  it.each([
    [0, 'network', 'retry'],
    [0, 'timeout', 'retry'],
    [500, 'internal', 'retry'],
    [503, 'outcome_unknown', 'retry'],
    [429, 'too_many_requests', 'retry'],
    [401, 'token_revoked', 'sign_in'],
    [403, 'forbidden', 'refused'],
    [409, 'out_of_stock', 'refused'],
    [409, 'menu_changed', 'refused'],
    [409, 'too_many_changes', 'retry'],
    [422, 'invalid', 'refused'],
  ])('%i %s is %s', (status, code, verdict) => {
    expect(verdictOf(new ApiError(status, { code }))).toBe(verdict);
  });

  it('waits longer from retry to retry, and as long as the server asks', () => {
    expect([0, 1, 2, 3, 4, 50].map((retry) => retryDelay(retry, undefined))).toEqual([1000, 2000, 4000, 8000, 15000, 15000]);
    expect(retryDelay(0, 30_000)).toBe(30_000);
  });
});
