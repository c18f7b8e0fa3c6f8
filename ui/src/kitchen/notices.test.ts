import { describe, expect, it } from 'vitest';
import { Orders } from '../../tests/mock/orders';
import { addNotice, MAXIMUM_NOTICES, noticeOf, type Notice } from './notices';
import type { Closure } from './types';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const maker = new Orders();
const placed = maker.make(NOW);
const cooking = maker.make(NOW, { status: 'preparing' });
const cancelled = { how: 'cancelled', by: { role: 'customer' }, reason: 'too_slow' } as unknown as Closure;

describe('a notice', () => {
  it('says who cancelled, why, and whether the kitchen must stop', () => {
    const notice = noticeOf(cooking, { status: 'cancelled', closure: cancelled }, false);
    expect(notice).toMatchObject({ kind: 'cancelled', by: 'customer', reason: 'too_slow', begun: true });
    expect(noticeOf(placed, { status: 'cancelled', closure: cancelled }, false)?.begun).toBe(false);
  });

  it('is given for an order that expired', () => {
    const closure = { how: 'expired', waited_for: 'acceptance' } as Closure;
    expect(noticeOf(placed, { status: 'cancelled', closure }, false)?.kind).toBe('expired');
  });

  it('is not given for what is expected', () => {
    expect(noticeOf(cooking, { status: 'delivered' }, false)).toBeUndefined();
    expect(noticeOf(cooking, { status: 'cancelled', closure: cancelled }, true)).toBeUndefined();
    expect(noticeOf(cooking, { status: 'refunded' }, false)).toBeUndefined();
    const rejected = { how: 'rejected', reason: 'too_busy' } as Closure;
    expect(noticeOf(placed, { status: 'cancelled', closure: rejected }, false)).toBeUndefined();
  });

  it('copes with an end that this version does not know', () => {
    const closure = { how: 'vaporized' } as unknown as Closure;
    expect(noticeOf(cooking, { status: 'cancelled', closure }, false)?.kind).toBe('cancelled');
  });
});

it('keeps one notice per order, and a bounded number', () => {
  const notice = noticeOf(cooking, { status: 'cancelled', closure: cancelled }, false) as Notice;
  let notices: Notice[] = [];
  for (let index = 0; index < MAXIMUM_NOTICES + 3; index += 1) notices = addNotice(notices, { ...notice, id: String(index) });
  expect(notices.length).toBe(MAXIMUM_NOTICES);
  expect(addNotice(notices, { ...notice, id: '10' }).length).toBe(MAXIMUM_NOTICES);
});
