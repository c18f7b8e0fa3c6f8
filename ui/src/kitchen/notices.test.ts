import { describe, expect, it } from 'vitest';
import { Orders } from '../../tests/mock/orders';
import { accept, end } from './commands';
import type { Entry } from '../lib/outbox';
import { addNotice, changeNotices, isCurrent, LINGER, MAXIMUM_NOTICES, noticeOf, oneBarPerOrder, unknownEnds, type Notice } from './notices';
import type { Closure } from './types';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const maker = new Orders();
const placed = maker.make(NOW);
const cooking = maker.make(NOW, { status: 'preparing' });
const cancelled = { how: 'cancelled', by: { role: 'customer' }, reason: 'too_slow' } as unknown as Closure;

describe('a notice', () => {
  it('says who cancelled, why, and whether the kitchen must stop', () => {
    const notice = noticeOf(cooking, { status: 'cancelled', closure: cancelled }, false, NOW);
    expect(notice).toMatchObject({ kind: 'cancelled', by: 'customer', reason: 'too_slow', begun: true });
    expect(noticeOf(placed, { status: 'cancelled', closure: cancelled }, false, NOW)?.begun).toBe(false);
  });

  it('is given for an order that expired', () => {
    const closure = { how: 'expired', waited_for: 'acceptance' } as Closure;
    expect(noticeOf(placed, { status: 'cancelled', closure }, false, NOW)?.kind).toBe('expired');
  });

  it('is not given for what is expected', () => {
    expect(noticeOf(cooking, { status: 'delivered' }, false, NOW)).toBeUndefined();
    expect(noticeOf(cooking, { status: 'cancelled', closure: cancelled }, true, NOW)).toBeUndefined();
    expect(noticeOf(cooking, { status: 'refunded' }, false, NOW)).toBeUndefined();
    const rejected = { how: 'rejected', reason: 'too_busy' } as Closure;
    expect(noticeOf(placed, { status: 'cancelled', closure: rejected }, false, NOW)).toBeUndefined();
  });

  it('copes with an end that this version does not know', () => {
    const closure = { how: 'vaporized' } as unknown as Closure;
    expect(noticeOf(cooking, { status: 'cancelled', closure }, false, NOW)?.kind).toBe('cancelled');
  });
});

it('keeps one notice per order, and a bounded number', () => {
  const notice = noticeOf(cooking, { status: 'cancelled', closure: cancelled }, false, NOW) as Notice;
  let notices: Notice[] = [];
  for (let index = 0; index < MAXIMUM_NOTICES + 3; index += 1) notices = addNotice(notices, { ...notice, id: String(index) });
  expect(notices.length).toBe(MAXIMUM_NOTICES);
  expect(addNotice(notices, { ...notice, id: '10' }).length).toBe(MAXIMUM_NOTICES);
});

it('of orders that left without a word is one, and names the first ones', () => {
  expect(unknownEnds([], NOW)).toBeUndefined();
  const orders = Array.from({ length: 9 }, () => maker.make(NOW));
  const codes = orders.map((order) => order.display_code);
  const notice = unknownEnds(orders, NOW) as Notice;
  expect(notice).toMatchObject({ kind: 'unknown', count: 9, code: `${codes.slice(0, 6).join(', ')} …` });
  expect(unknownEnds(orders.slice(0, 2), NOW)).toMatchObject({ count: 2, code: codes.slice(0, 2).join(', ') });
  // It takes no place from the notice about one of its orders.
  const own = noticeOf(orders[0] as typeof placed, { status: 'cancelled', closure: cancelled }, false, NOW) as Notice;
  expect(addNotice([own], notice)).toEqual([own, notice]);
});

it('is added and dismissed in another tab without a word about the others', () => {
  const first = noticeOf(placed, { status: 'cancelled', closure: cancelled }, false, NOW) as Notice;
  const second = noticeOf(cooking, { status: 'cancelled', closure: cancelled }, false, NOW) as Notice;
  expect(changeNotices([first], { add: second })).toEqual([first, second]);
  expect(changeNotices([first, second], { dismiss: [first.id] })).toEqual([second]);
  expect(changeNotices([second], { dismiss: [first.id] })).toEqual([second]);
});

it('lasts until it is dismissed if the kitchen must stop, else for a time', () => {
  const stop = noticeOf(cooking, { status: 'cancelled', closure: cancelled }, false, NOW) as Notice;
  const ended = noticeOf(placed, { status: 'cancelled', closure: cancelled }, false, NOW) as Notice;
  expect(isCurrent(ended, NOW + LINGER - 1)).toBe(true);
  expect(isCurrent(ended, NOW + LINGER)).toBe(false);
  expect(isCurrent(stop, NOW + 100 * LINGER)).toBe(true);
});

describe('an order with a notice and a refused command', () => {
  const entry = (command: object) => ({ ...command, state: 'refused' }) as Entry;
  const accepted = entry(accept(placed, 20));
  const rejected = entry(end(placed, { reason: 'too_busy' }));
  const cancelledHere = entry(end(cooking, { reason: 'other' }));
  const ended = noticeOf(placed, { status: 'cancelled', closure: cancelled }, false, NOW) as Notice;
  const stop = noticeOf(cooking, { status: 'cancelled', closure: cancelled }, false, NOW) as Notice;

  it('has one bar: the refusal, unless what was wanted has happened', () => {
    expect(oneBarPerOrder([ended], [accepted])).toEqual({ notices: [], refusals: [accepted] });
    expect(oneBarPerOrder([ended], [rejected])).toEqual({ notices: [ended], refusals: [] });
  });

  it('has the notice if the kitchen must stop', () => {
    expect(oneBarPerOrder([stop], [cancelledHere, accepted])).toEqual({ notices: [stop], refusals: [accepted] });
  });
});
