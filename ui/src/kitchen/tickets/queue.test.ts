import { describe, expect, it } from 'vitest';
import type { Entry } from '../../lib/outbox';
import { Orders } from '../../../tests/mock/orders';
import { accept } from '../commands';
import type { BoardOrder } from '../types';
import { PrintQueue } from './queue';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const order = new Orders().make(NOW);
const accepted: BoardOrder = { ...order, status: 'preparing' };
const entry = (state: Entry['state'], key = 'k') => ({ ...accept(order, 20), key, state }) as Entry;

/** A storage of a tab. */
function storage(text?: string) {
  const texts = new Map<string, string>(text === undefined ? [] : [['tickets', text]]);
  return { get: (key: string) => texts.get(key) ?? null, set: (key: string, value: string) => void texts.set(key, value) };
}
function queueOf(kept = storage()) {
  const queue = new PrintQueue(kept, 'tickets');
  const take = (entries: Entry[], found: BoardOrder | undefined, complete = true) => queue.take(entries, () => found, complete);
  return { queue, take };
}

describe('a ticket', () => {
  it('is printed once, when the server has accepted the order', () => {
    const { queue, take } = queueOf();
    queue.add(order.id, 'k');
    expect(take([entry('waiting')], order)).toEqual([]);
    expect(take([entry('sending')], accepted)).toEqual([]);
    // The outbox is quicker than the stream.
    expect(take([], order)).toEqual([]);
    expect(take([], accepted)).toEqual([accepted]);
    expect(take([], accepted)).toEqual([]);
  });

  it('survives a reload, also one before the orders are there', () => {
    const kept = storage();
    queueOf(kept).queue.add(order.id, 'k');
    const { take } = queueOf(kept);
    expect(take([], undefined, false)).toEqual([]);
    expect(take([entry('waiting')], order)).toEqual([]);
    expect(take([], accepted)).toEqual([accepted]);
    expect(queueOf(kept).take([], accepted)).toEqual([]);
  });

  it('is not printed for a command that was refused or undone, or for an order that has left', () => {
    const { queue, take } = queueOf();
    queue.add(order.id, 'k');
    expect(take([entry('refused')], order)).toEqual([]);
    expect(take([], accepted)).toEqual([]);
    queue.add(order.id, 'k');
    queue.forget('k');
    expect(take([], accepted)).toEqual([]);
    queue.add(order.id, 'k');
    expect(take([], undefined)).toEqual([]);
    expect(take([], accepted)).toEqual([]);
  });

  it('is printed once although another tab undid the first command', () => {
    const { queue, take } = queueOf();
    queue.add(order.id, 'first');
    expect(take([], order)).toEqual([]);
    queue.add(order.id, 'second');
    expect(take([entry('sending', 'second')], order)).toEqual([]);
    expect(take([], accepted)).toEqual([accepted]);
  });

  it('does not depend on what a tab may keep', () => {
    for (const text of ['{', '7', 'null', '[1]']) expect(queueOf(storage(text)).take([], accepted)).toEqual([]);
  });
});
