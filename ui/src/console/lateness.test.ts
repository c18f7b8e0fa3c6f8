import { describe, expect, it } from 'vitest';
import {
  ACCEPTANCE_NEAR,
  attentionOf,
  byAttention,
  DELIVERY_PATIENCE,
  inPlaces,
  PAYMENT_PATIENCE,
  PICKUP_PATIENCE,
  type Ranked,
  type Timed,
  urgentFirst,
} from './lateness';

const AT = '2026-11-30T10:00:00Z';
const BASE = Date.parse(AT);

function order(status: Timed['status'], more: Partial<Timed> = {}): Timed {
  return { status, placed_at: AT, ...more };
}

describe('an order', () => {
  it.each<[string, Timed, number, string]>([
    ['created', order('created'), PAYMENT_PATIENCE, 'payment'],
    ['confirmed', order('confirmed', { acceptance_deadline: AT }), 0, 'acceptance'],
    ['preparing', order('preparing', { ready_by: AT }), 0, 'preparation'],
    ['ready_for_pickup', order('ready_for_pickup', { ready_by: AT }), PICKUP_PATIENCE, 'pickup'],
    ['out_for_delivery', order('out_for_delivery', { ready_by: AT }), DELIVERY_PATIENCE, 'delivery'],
  ])('that is %s becomes late exactly at its limit', (_status, value, patience, cause) => {
    const limit = BASE + patience;
    expect(attentionOf(value, undefined, limit - 1).level).not.toBe('late');
    expect(attentionOf(value, undefined, limit)).toEqual({ level: 'late', cause, since: limit });
  });

  it('is nearly late shortly before its acceptance deadline', () => {
    const value = order('confirmed', { acceptance_deadline: AT });
    expect(attentionOf(value, undefined, BASE - ACCEPTANCE_NEAR - 1)).toEqual({ level: 'none' });
    expect(attentionOf(value, undefined, BASE - ACCEPTANCE_NEAR)).toMatchObject({ level: 'near', cause: 'acceptance' });
  });

  it.each(['delivered', 'cancelled', 'refunded', 'a status of a later version'])('that is %s is never late', (status) => {
    const value = order(status, { ready_by: AT, acceptance_deadline: AT });
    expect(attentionOf(value, undefined, BASE + 1e9)).toEqual({ level: 'none' });
  });

  it('on its way stays late after another event, such as a refund', () => {
    const late = { ...order('out_for_delivery', { ready_by: AT }), updated_at: AT };
    const now = BASE + DELIVERY_PATIENCE + 1;
    const refunded = { ...late, updated_at: new Date(now).toISOString() };
    expect(attentionOf(refunded, undefined, now)).toEqual(attentionOf(late, undefined, now));
    expect(attentionOf(refunded, undefined, now).level).toBe('late');
  });

  it('without the time of its limit is not late', () => {
    expect(attentionOf(order('confirmed'), undefined, BASE + 1e9)).toEqual({ level: 'none' });
    expect(attentionOf(order('preparing', { ready_by: 'no time' }), undefined, BASE)).toEqual({ level: 'none' });
  });

  it('with a parked task is stuck, also after its end', () => {
    expect(attentionOf(order('delivered'), AT, BASE)).toEqual({ level: 'stuck', cause: 'task', since: BASE });
  });
});

it('stuck orders come first, then the longest delay, then the newest', () => {
  const ranked = (id: string, attention: Ranked['attention'], placed_at = AT): Ranked => ({ id, placed_at, attention });
  const sorted = [
    ranked('old', { level: 'none' }, '2026-11-30T09:00:00Z'),
    ranked('new', { level: 'none' }),
    ranked('near', { level: 'near', cause: 'acceptance', since: 9 }),
    ranked('late since 2', { level: 'late', cause: 'acceptance', since: 2 }),
    ranked('late since 1', { level: 'late', cause: 'preparation', since: 1 }),
    ranked('stuck', { level: 'stuck', cause: 'task', since: 5 }),
  ].sort(byAttention);
  expect(sorted.map((entry) => entry.id)).toEqual(['stuck', 'late since 1', 'late since 2', 'near', 'new', 'old']);
});

describe('a list', () => {
  const entry = (id: string, attention: Ranked['attention'] = { level: 'none' }): Ranked => ({ id, placed_at: AT, attention });
  const idsOf = (entries: readonly Ranked[]) => entries.map(({ id }) => id).join(' ');

  it('has what needs a person first, and leaves the others in their places', () => {
    const late = entry('late', { level: 'late', cause: 'acceptance', since: 1 });
    const stuck = entry('stuck', { level: 'stuck', cause: 'task', since: 5 });
    expect(idsOf(urgentFirst([entry('b'), late, entry('a'), stuck, entry('c')]))).toBe('stuck late b a c');
  });

  it('stays as it was while it must not move; what is new comes last', () => {
    const places = new Map([['c', 0], ['a', 1], ['gone', 2], ['b', 3]]);
    expect(idsOf(inPlaces([entry('new'), entry('a'), entry('b'), entry('c')], places))).toBe('c a b new');
  });
});
