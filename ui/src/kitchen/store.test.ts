import { describe, expect, it } from 'vitest';
import { Orders, random, restaurant } from '../../tests/mock/orders';
import {
  answered,
  checksum,
  connected,
  currentOrders,
  emptyState,
  MAXIMUM_LEFT,
  parseMessage,
  reduce,
  statusOf,
  toSnapshot,
  type BoardMessage,
  type BoardState,
  type Effect,
} from './store';
import type { BoardOrder, Gone, Snapshot } from './types';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const maker = new Orders(3);
const order = (changes: Partial<BoardOrder> = {}): BoardOrder => ({ ...maker.make(NOW), ...changes });

function snapshot(orders: BoardOrder[], part = 1, parts = 1): BoardMessage {
  const data: Snapshot = { part, parts, now: new Date(NOW).toISOString(), build: 'b', orders };
  if (part === 1) Object.assign(data, { restaurant: restaurant(NOW), items: [] });
  return { event: 'snapshot', data };
}
const changed = (data: BoardOrder): BoardMessage => ({ event: 'order', data });
const gone = (data: Gone): BoardMessage => ({ event: 'gone', data });
function heartbeat(orders: BoardOrder[]): BoardMessage {
  return { event: 'heartbeat', data: { now: new Date(NOW).toISOString(), build: 'b', ...checksum(orders) } };
}

function play(messages: BoardMessage[], start = emptyState()): { state: BoardState; effects: Effect[] } {
  let state = start;
  const effects: Effect[] = [];
  for (const message of messages) {
    const step = reduce(state, message);
    state = step.state;
    effects.push(...step.effects);
  }
  return { state, effects };
}
const kinds = (effects: Effect[]) => effects.map((effect) => effect.kind);

describe('a snapshot', () => {
  it('is shown only when its last part is there', () => {
    const [a, b] = [order(), order()];
    const half = play([snapshot([a], 1, 2)]);
    expect(half.state.orders.size).toBe(0);
    expect(half.state.synchronized).toBe(false);
    const whole = play([snapshot([b], 2, 2)], half.state);
    expect([...whole.state.orders.keys()]).toEqual([a.id, b.id]);
    expect(whole.state.synchronized).toBe(true);
  });

  it('takes changes that arrive between its parts, whatever the part says', () => {
    const [a, b] = [order(), order()];
    const newer = { ...b, version: b.version + 2 };
    const messages = [snapshot([a], 1, 2), changed(newer), gone({ id: a.id, version: 9, status: 'cancelled' }), snapshot([b], 2, 2)];
    expect([...play(messages).state.orders.values()]).toEqual([newer]);
  });

  it('does not bring an order back that left between its parts', () => {
    const a = order();
    const messages = [snapshot([], 1, 2), gone({ id: a.id, version: a.version, status: 'delivered' }), snapshot([a], 2, 2)];
    expect(play(messages).state.orders.size).toBe(0);
  });

  it('asks for another connection if a part is missing', () => {
    expect(kinds(play([snapshot([], 1, 3), snapshot([], 3, 3)]).effects)).toEqual(['resynchronize']);
    expect(kinds(play([snapshot([], 2, 2)]).effects)).toEqual(['resynchronize']);
  });

  it('reports orders that the board had and the server no longer has', () => {
    const [a, b] = [order(), order()];
    const { effects } = play([snapshot([a, b]), snapshot([b])]);
    expect(effects.at(-1)).toEqual({ kind: 'vanished', orders: [a] });
  });

  it('says that there are more orders than a board shows, and passes that on', () => {
    const first = snapshot([order()], 1, 2);
    Object.assign(first.data, { truncated: true });
    const { state } = play([first, snapshot([order()], 2, 2)]);
    expect(state.truncated).toBe(true);
    expect(toSnapshot(state, '', '')?.truncated).toBe(true);
    expect(play([snapshot([])], state).state.truncated).toBe(false);
  });

  it('replaces a newer version: a restored database has older ones', () => {
    const a = order({ version: 8 });
    const { state } = play([snapshot([a]), snapshot([{ ...a, version: 5 }])]);
    expect(state.orders.get(a.id)?.version).toBe(5);
  });
});

describe('a change', () => {
  it('of an older version is ignored, also after the order left', () => {
    const a = order({ version: 5 });
    const { state } = play([
      snapshot([a]),
      changed({ ...a, version: 4, status: 'preparing' }),
      gone({ id: a.id, version: 6, status: 'cancelled' }),
      changed({ ...a, version: 6 }),
    ]);
    expect(state.orders.size).toBe(0);
    expect(statusOf(state, a.id)?.status).toBe('cancelled');
  });

  it('reports new orders, and a warning once', () => {
    const a = order();
    const due = { ...a, version: a.version + 1, acceptance_due: true };
    const { effects } = play([snapshot([]), changed(a), changed(due), changed({ ...due, version: due.version + 1 })]);
    expect(kinds(effects)).toEqual(['arrived', 'due']);
  });

  it('of the restaurant or an item replaces it', () => {
    const closed = { ...restaurant(NOW), name: 'Renamed' };
    const item = { item: 'dal', name: 'Dal', available: false };
    const { state } = play([snapshot([]), { event: 'restaurant', data: closed }, { event: 'item', data: item }]);
    expect(state.restaurant?.name).toBe('Renamed');
    expect(state.items.get('dal')).toEqual(item);
  });

  it('keeps a bounded number of orders that left', () => {
    const messages = Array.from({ length: MAXIMUM_LEFT + 5 }, (_, index) =>
      gone({ id: `00000000-0000-7000-8000-${index.toString(16).padStart(12, '0')}`, version: 1, status: 'delivered' }),
    );
    expect(play([snapshot([]), ...messages]).state.left.size).toBe(MAXIMUM_LEFT);
  });
});

describe('a heartbeat', () => {
  const [a, b] = [order(), order()];

  it('agrees with the state that the server has sent', () => {
    expect(play([snapshot([a, b]), heartbeat([b, a])]).effects.map((effect) => effect.kind)).toEqual(['arrived']);
  });

  it.each([
    ['an order is missing', [a]],
    ['a version differs', [a, { ...b, version: b.version + 1 }]],
    ['another order is there', [a, { ...b, id: b.id.slice(0, -1) + (b.id.endsWith('0') ? '1' : '0') }]],
  ])('asks for another connection if %s', (_, orders) => {
    expect(kinds(play([snapshot([a, b]), heartbeat(orders)]).effects)).toContain('resynchronize');
  });

  it('checks nothing before the snapshot is whole', () => {
    const whole = play([snapshot([a])]).state;
    expect(reduce(connected(whole), heartbeat([])).effects).toEqual([]);
    expect(kinds(play([snapshot([a], 1, 2), heartbeat([])]).effects)).toEqual([]);
  });

  it('counts the last 32 bits of ids without a sign', () => {
    const first = { ...a, id: '019b0000-0000-7000-8000-0000ffffffff' };
    const second = { ...a, id: '019b0000-0000-7000-8000-00000000000f' };
    expect(checksum([first, second])).toEqual({ open: 2, versions: 2 * a.version, ids: 0xfffffff0 });
  });
});

describe('an answer to a command', () => {
  it('is shown until the stream is as new, and does not change the checksum', () => {
    const a = order();
    const accepted = { ...a, version: a.version + 1, status: 'preparing' as const };
    const start = play([snapshot([a])]).state;
    const after = answered(start, accepted);
    expect(currentOrders(after)[0]?.status).toBe('preparing');
    expect(reduce(after, heartbeat([a])).effects).toEqual([]);
    const ready = { ...accepted, version: accepted.version + 1, status: 'ready_for_pickup' as const };
    const later = reduce(after, changed(ready)).state;
    expect(later.answers.size).toBe(0);
    expect(currentOrders(later)[0]?.status).toBe('ready_for_pickup');
  });

  it('of an order that is not on the board, or older than it, is ignored', () => {
    const a = order({ version: 5 });
    const start = play([snapshot([a])]).state;
    expect(answered(start, order()).answers.size).toBe(0);
    expect(answered(start, { ...a, version: 4 }).answers.size).toBe(0);
  });
});

it('reaches the same state by any sequence of messages as by one snapshot of the result', () => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const chance = random(seed);
    const world = new Map<string, BoardOrder>();
    const log: BoardMessage[] = [snapshot([])];
    for (let step = 0; step < 120; step += 1) {
      const known = [...world.values()];
      const one = known[Math.floor(chance() * known.length)];
      if (one === undefined || chance() < 0.4) {
        const placed = maker.make(NOW);
        world.set(placed.id, placed);
        log.push(changed(placed));
      } else if (chance() < 0.7) {
        const next = { ...one, version: one.version + 1 };
        world.set(one.id, next);
        log.push(changed(next));
        // Overlap of snapshot and stream: the same or an older version again.
        if (chance() < 0.3) log.push(changed(one));
      } else {
        world.delete(one.id);
        log.push(gone({ id: one.id, version: one.version + 1, status: 'delivered' }));
        if (chance() < 0.5) log.push(changed(one));
      }
    }
    log.push(heartbeat([...world.values()]));
    const { state, effects } = play(log);
    expect(kinds(effects)).not.toContain('resynchronize');
    const replayed = toSnapshot(state, new Date(NOW).toISOString(), 'b');
    expect(new Map(replayed?.orders.map((entry) => [entry.id, entry]))).toEqual(world);
  }
});

it('ignores events that it does not know or cannot read', () => {
  expect(parseMessage({ event: 'surprise', data: '{}', id: undefined })).toBeUndefined();
  expect(parseMessage({ event: 'order', data: '{', id: undefined })).toBeUndefined();
  expect(parseMessage({ event: 'order', data: 'null', id: undefined })).toBeUndefined();
  expect(parseMessage({ event: 'item', data: '{"item":"a"}', id: undefined })?.event).toBe('item');
});
