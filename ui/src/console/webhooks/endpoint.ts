// What the form of a webhook endpoint offers.
import type { Body } from '../../lib/api';

export type EventType = NonNullable<Body<'WebhookEndpointRequest'>['types']>[number];

/** Types of events, in the order of an order's life. */
export const EVENT_TYPES: readonly EventType[] = [
  'placed',
  'confirmed',
  'acceptance_due',
  'accepted',
  'rejected',
  'expired',
  'marked_ready',
  'courier_assigned',
  'picked_up',
  'delivered',
  'cancelled',
  'payment_authorized',
  'payment_captured',
  'payment_failed',
  'payment_voided',
  'payment_differs',
  'refund_requested',
  'refunded',
  'refund_failed',
  'refund_reversed',
  'chargeback_opened',
  'chargeback_won',
  'chargeback_lost',
];

/** Returns a whole number within limits; `undefined` for every other text. */
export function numberIn(text: string, minimum: number, maximum: number): number | undefined {
  if (!/^\d{1,9}$/.test(text.trim())) return undefined;
  const value = Number(text);
  return value >= minimum && value <= maximum ? value : undefined;
}
