// An order for the tests of this directory.
import type { TrackedOrder } from '../lib/api/contract';

export const CARD = { method: 'card', status: 'authorized', captured: 0, refunded: 0 } as const;
export const CASH = { method: 'cash', status: 'pending', captured: 0, refunded: 0 } as const;

/** Returns a card order for delivery that waits for the restaurant, with changes. */
export function exampleOrder(changes: Partial<TrackedOrder> = {}): TrackedOrder {
  return {
    id: 'order',
    display_code: 'K7M3Q',
    status: 'confirmed',
    version: 2,
    placed_at: '2026-05-01T10:00:00Z',
    updated_at: '2026-05-01T10:01:00Z',
    confirmed_at: '2026-05-01T10:01:00Z',
    acceptance_deadline: '2026-05-01T10:09:00Z',
    currency: 'GBP',
    amounts: { subtotal: 1000, discount: 0, tax: 200, delivery_fee: 299, tip: 0, total: 1499 },
    lines: [
      { item: 'dal', name: 'Black Dal', quantity: 1, unit_price: 400, total: 400 },
      { item: 'dosa', name: 'Masala Dosa', quantity: 1, unit_price: 600, total: 600 },
    ],
    fulfilment: { type: 'delivery', address: { line1: '14 Redchurch Street', city: 'London' } },
    payment: CARD,
    allowed_actions: [{ command: 'cancel' }],
    ...changes,
  };
}

/** Returns an order without one of its optional members. */
export function without(order: TrackedOrder, member: keyof TrackedOrder): TrackedOrder {
  return Object.fromEntries(Object.entries(order).filter(([name]) => name !== member)) as unknown as TrackedOrder;
}
