import { describe, expect, it } from 'vitest';
import { Orders } from '../../../tests/mock/orders';
import type { BoardOrder, Closure } from '../types';
import { addressOf, pageRule, paymentOf, piecesOf, ticketOf, toCollect } from './ticket';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const maker = new Orders(2);
const delivery = maker.make(NOW, { collection: false, lines: 3 });
const collection = maker.make(NOW, { collection: true });

describe('a ticket', () => {
  it('says what to cook, for whom and where', () => {
    const ticket = ticketOf({ ...delivery, note: 'Careful.' });
    expect(ticket).toMatchObject({ code: delivery.display_code, collection: false, note: 'Careful.' });
    expect(ticket.bill.rows.at(-1)?.amount).toBe(delivery.amounts?.total);
    expect(ticket.lines.map((line) => line.name)).toEqual(delivery.lines.map((line) => line.name));
    expect(ticket.pieces).toBe(piecesOf(delivery));
    expect(ticket.address).toEqual(['7 Wilmslow Road', 'Flat 3', 'M14 5TP Manchester']);
    expect(ticket.instructions).toBe('Ring twice.');
    expect(ticketOf(collection).address).toEqual([]);
  });

  it('contains nothing of accounts and payment references', () => {
    const secret = { ...delivery, customer_id: 'secret-account', courier_id: 'secret-courier' };
    secret.payment = { ...delivery.payment, reference: 'secret-reference' } as typeof delivery.payment;
    expect(JSON.stringify(ticketOf(secret))).not.toContain('secret');
  });

  it('omits the amounts for a caller who may not see them', () => {
    const hidden = { ...delivery };
    Reflect.deleteProperty(hidden, 'amounts');
    expect(ticketOf(hidden).bill).toEqual({ rows: [], included: [] });
  });

  it('omits what an address does not have', () => {
    const bare = { ...delivery, fulfilment: { type: 'delivery' as const, address: { line1: '1 Road', city: 'Leeds' } } };
    expect(addressOf(bare)).toEqual(['1 Road', 'Leeds']);
  });
});

describe('the payment', () => {
  const cancelled = { how: 'cancelled', by: { role: 'customer' }, reason: 'too_slow' } as unknown as Closure;

  it.each([
    ['cash', 'pending', 'cash'],
    ['cash', 'authorized', 'cash'],
    ['cash', 'captured', 'paid'],
    ['card', 'pending', 'none'],
    ['card', 'authorized', 'reserved'],
    ['card', 'captured', 'paid'],
    ['card', 'partially_refunded', 'paid'],
    ['card', 'refunded', 'none'],
    ['card', 'voided', 'none'],
    ['card', 'failed', 'none'],
  ] as const)('by %s, %s: %s', (method, status, expected) => {
    const order = { ...delivery, payment: { ...delivery.payment, method, status } };
    expect(paymentOf(order)).toBe(expected);
    expect(ticketOf(order)).toMatchObject({ payment: expected, ended: undefined });
    expect(toCollect(order)).toBe(expected === 'cash' ? delivery.amounts?.total : undefined);
  });

  it.each([
    ['cash', 'pending'],
    ['cash', 'voided'],
    ['card', 'captured'],
    ['card', 'voided'],
  ] as const)('by %s, %s, of an order that was cancelled is none, and the ticket says that it was cancelled', (method, status) => {
    const order = { ...delivery, status: 'cancelled', closure: cancelled, payment: { ...delivery.payment, method, status } } as BoardOrder;
    expect(ticketOf(order)).toMatchObject({ payment: 'none', ended: 'cancelled' });
    expect(toCollect(order)).toBeUndefined();
  });

  it('of an order that was delivered and refunded is none', () => {
    const order = { ...delivery, status: 'refunded', payment: { ...delivery.payment, method: 'card', status: 'refunded' } } as BoardOrder;
    expect(ticketOf(order)).toMatchObject({ payment: 'none', ended: 'refunded' });
  });
});

it('fits the page to the roll', () => {
  expect(pageRule('80', 960)).toBe('@page { size: 80mm 258mm; margin: 0; }');
  expect(pageRule('58', 0)).toBe('@page { size: 58mm 40mm; margin: 0; }');
});
