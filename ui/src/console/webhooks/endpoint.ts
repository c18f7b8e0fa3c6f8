// What the form of a webhook endpoint offers.
import type { Body } from '../../lib/api';
import { membersOf } from '../members';

export type EventType = NonNullable<Body<'WebhookEndpointRequest'>['types']>[number];

/** Types of events, in the order of an order's life. */
export const EVENT_TYPES = membersOf<EventType>({
  placed: true,
  confirmed: true,
  acceptance_due: true,
  accepted: true,
  rejected: true,
  expired: true,
  marked_ready: true,
  courier_assigned: true,
  picked_up: true,
  delivered: true,
  cancelled: true,
  payment_authorized: true,
  payment_captured: true,
  payment_failed: true,
  payment_voided: true,
  payment_differs: true,
  refund_requested: true,
  refunded: true,
  refund_failed: true,
  refund_reversed: true,
  chargeback_opened: true,
  chargeback_won: true,
  chargeback_lost: true,
});
