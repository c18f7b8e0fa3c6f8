import { describe, expect, it } from 'vitest';
import { UNDO_DELAY } from '../lib/outbox';
import { Orders } from '../../tests/mock/orders';
import * as commands from './commands';
import type { BoardOrder } from './types';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const order = new Orders().make(NOW);
const preparing = { ...order, status: 'preparing' as const };

describe('commands of an order', () => {
  it('are sent in the order of their taps, each to its operation', () => {
    expect(commands.accept(order, 25)).toMatchObject({
      group: order.id,
      method: 'POST',
      path: `/v1/orders/${order.id}/accept`,
      body: { preparation_minutes: 25 },
      subject: { kind: 'accept', order: order.id, code: order.display_code, minutes: 25 },
    });
    expect(commands.ready(preparing)).not.toHaveProperty('body');
    expect(commands.handOver(preparing).path).toMatch(/\/deliver$/);
  });

  it('reject before the acceptance, and cancel after it', () => {
    const how = { reason: 'item_unavailable', items: [{ item: 'dal' }] } as const;
    expect(commands.end(order, { ...how, items: [...how.items] })).toMatchObject({
      path: `/v1/orders/${order.id}/reject`,
      body: how,
    });
    expect(commands.end(preparing, { reason: 'no_courier' }).path).toMatch(/\/cancel$/);
  });
});

describe('commands of the restaurant', () => {
  const item = { item: 'dal', name: 'Dal' };

  it('name the operation and the body that the API takes', () => {
    expect(commands.pause('r', undefined)).toMatchObject({ path: '/v1/restaurants/r/pause', body: {} });
    expect(commands.pause('r', 'T').body).toEqual({ until: 'T' });
    expect(commands.resume('r')).not.toHaveProperty('body');
    expect(commands.setAvailability('r', item, 'available')).toMatchObject({
      method: 'PUT',
      path: '/v1/restaurants/r/menu/items/dal/availability',
      body: { status: 'available' },
    });
    expect(commands.setAvailability('r', item, { until: 'T' }).body).toEqual({ status: 'unavailable', until: 'T' });
    expect(commands.setAvailability('r', item, {}).body).toEqual({ status: 'unavailable' });
    expect(commands.setStock('r', item, undefined).body).toEqual({ remaining: null });
    expect(commands.adjustStock('r', item, -1)).toMatchObject({ method: 'POST', body: { by: -1 } });
  });

  it('wait for each other only if they change the same', () => {
    const groups = [commands.pause('r', undefined), commands.setStock('r', item, 1), commands.setAvailability('r', item, {})];
    expect(new Set(groups.map((command) => command.group)).size).toBe(3);
    expect(commands.pause('r', undefined).group).toBe(commands.resume('r').group);
    expect(commands.adjustStock('r', item, 1).group).toBe(commands.setStock('r', item, 20).group);
    expect(commands.adjustStock('r', item, 1).group).not.toBe(commands.adjustStock('r', { ...item, item: 'naan' }, 1).group);
  });
});

describe('the time to undo', () => {
  const deadline = (left: number) => ({ ...order, acceptance_deadline: new Date(NOW + left).toISOString() });

  it('applies to what cannot be reversed', () => {
    for (const kind of ['accept', 'reject', 'ready', 'deliver', 'cancel'] as const) {
      expect(commands.undoDelay(kind, preparing, NOW)).toBe(UNDO_DELAY);
    }
    expect(commands.undoDelay('pause', undefined, NOW)).toBe(0);
  });

  it('is dropped for an order that would expire meanwhile', () => {
    expect(commands.undoDelay('accept', deadline(15_000), NOW)).toBe(UNDO_DELAY);
    expect(commands.undoDelay('accept', deadline(14_999), NOW)).toBe(0);
    expect(commands.undoDelay('accept', deadline(-1), NOW)).toBe(0);
  });
});

describe('an order', () => {
  const allowing = (of: BoardOrder, ...actions: string[]) =>
    ({ ...of, allowed_actions: actions.map((command) => ({ command })) }) as BoardOrder;

  it('may be ended by who may give the command that ends it', () => {
    expect(commands.mayEnd(allowing(order, 'accept', 'reject'))).toBe(true);
    // An admin may cancel a confirmed order, but the board would reject it.
    expect(commands.mayEnd(allowing(order, 'cancel'))).toBe(false);
    expect(commands.mayEnd(allowing(preparing, 'cancel'))).toBe(true);
    expect(commands.mayEnd(allowing(preparing, 'mark_ready'))).toBe(false);
  });
});

describe('a refusal', () => {
  it.each([
    ['accept', 'already_accepted', undefined, 'elsewhere'],
    ['accept', 'illegal_move', 'ready_for_pickup', 'elsewhere'],
    ['accept', 'illegal_move', 'cancelled', 'refused'],
    ['accept', 'illegal_move', undefined, 'refused'],
    ['reject', 'illegal_move', 'preparing', 'refused'],
    ['reject', 'already_rejected', undefined, 'elsewhere'],
    ['ready', 'illegal_move', 'ready_for_pickup', 'elsewhere'],
    ['ready', 'illegal_move', 'cancelled', 'refused'],
    ['deliver', 'illegal_move', 'delivered', 'elsewhere'],
    ['cancel', 'already_cancelled', undefined, 'elsewhere'],
    ['accept', 'invalid', 'confirmed', 'refused'],
  ] as const)('of %s with %s in status %s is %s', (kind, code, status, expected) => {
    expect(commands.refusalOf(kind, code, status)).toBe(expected);
  });
});

describe('the suggested time', () => {
  it('is the median of the last choices, in steps and within the limits', () => {
    expect(commands.suggestMinutes([])).toBe(commands.MINUTES.initial);
    expect(commands.suggestMinutes([30, 25, 90])).toBe(30);
    expect(commands.suggestMinutes([22])).toBe(20);
    expect(commands.suggestMinutes([1])).toBe(commands.MINUTES.minimum);
    expect(commands.suggestMinutes([999])).toBe(commands.MINUTES.maximum);
    expect(commands.suggestMinutes([...Array(20).fill(90), ...Array(commands.CHOICES).fill(15)])).toBe(15);
  });
});

it('reads what an entry is about, and ignores entries of other pages', () => {
  expect(commands.subjectOf({ subject: { kind: 'pause', restaurant: 'r' } })?.kind).toBe('pause');
  expect(commands.subjectOf({ subject: undefined })).toBeUndefined();
  expect(commands.subjectOf({ subject: { kind: 'retry' } })).toBeUndefined();
});
