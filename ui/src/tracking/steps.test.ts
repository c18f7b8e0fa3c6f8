import { describe, expect, it } from 'vitest';
import { exampleOrder, without } from './example';
import { endedEarly, stepsOf } from './steps';

const NOW = Date.parse('2026-05-01T10:05:00Z');
const states = (order: Parameters<typeof stepsOf>[0]) => stepsOf(order, NOW).map(({ key, state }) => `${key} ${state}`);

describe('steps of a delivery', () => {
  it('shows what happened, where the order is, and what follows', () => {
    expect(states(exampleOrder())).toEqual([
      'placed done',
      'confirmed current',
      'accepted upcoming',
      'ready upcoming',
      'picked_up upcoming',
      'delivered upcoming',
    ]);
  });

  it('states the time of each step, and when the next ones are expected', () => {
    const steps = stepsOf(exampleOrder({ ready_by: '2026-05-01T10:30:00Z' }), NOW);
    expect(steps[1]).toMatchObject({ at: '2026-05-01T10:01:00Z' });
    expect(steps[2]).toMatchObject({ expected: '2026-05-01T10:09:00Z' });
    expect(steps[3]).toMatchObject({ expected: '2026-05-01T10:30:00Z' });
    expect(steps[4]).not.toHaveProperty('expected');
    expect(steps[4]).not.toHaveProperty('at');
  });

  it('keep no promise that has passed', () => {
    const order = exampleOrder({ status: 'preparing', ready_by: '2026-05-01T10:05:00Z' });
    expect(stepsOf(order, NOW - 1)[3]).toHaveProperty('expected');
    expect(stepsOf(order, NOW)[3]).not.toHaveProperty('expected');
  });

  it.each([
    ['created', 'placed'],
    ['confirmed', 'confirmed'],
    ['preparing', 'accepted'],
    ['ready_for_pickup', 'ready'],
    ['out_for_delivery', 'picked_up'],
  ])('derives the step of %s from the status where times are missing', (status, key) => {
    const order = without(exampleOrder({ status }), 'confirmed_at');
    expect(stepsOf(order, NOW).find(({ state }) => state === 'current')?.key).toBe(key);
  });

  it('has no current step once it is delivered, also after a refund', () => {
    const delivered = exampleOrder({ status: 'delivered', delivered_at: '2026-05-01T11:00:00Z' });
    for (const order of [delivered, { ...delivered, status: 'refunded' }]) {
      expect(new Set(stepsOf(order, NOW).map(({ state }) => state))).toEqual(new Set(['done']));
      expect(stepsOf(order, NOW).at(-1)?.at).toBe('2026-05-01T11:00:00Z');
    }
  });

  it('uses the times of an unknown status', () => {
    const order = exampleOrder({ status: 'at_the_gate', accepted_at: '2026-05-01T10:02:00Z' });
    expect(stepsOf(order, NOW).find(({ state }) => state === 'current')?.key).toBe('accepted');
  });
});

describe('steps of a collection', () => {
  it('has no courier', () => {
    const order = exampleOrder({ fulfilment: { type: 'collection' }, status: 'ready_for_pickup' });
    expect(states(order)).toEqual(['placed done', 'confirmed done', 'accepted done', 'ready current', 'collected upcoming']);
  });
});

describe('steps of an order that ended early', () => {
  it('ends with its end, without steps to come', () => {
    const order = exampleOrder({ status: 'cancelled', ended_at: '2026-05-01T10:04:00Z' });
    expect(states(order)).toEqual(['placed done', 'confirmed done', 'ended ended']);
    expect(stepsOf(order, NOW).at(-1)?.at).toBe('2026-05-01T10:04:00Z');
  });

  it('is also an order that was refunded without a delivery', () => {
    expect(endedEarly(exampleOrder({ status: 'refunded' }))).toBe(true);
    expect(endedEarly(exampleOrder({ status: 'refunded', delivered_at: '2026-05-01T11:00:00Z' }))).toBe(false);
    expect(endedEarly(exampleOrder({ status: 'delivered' }))).toBe(false);
  });
});
