// Why an order ended early, and what happens with the money: as keys of messages, so that tests need no language.
import type { TrackedOrder } from '../lib/api/contract';
import { endedEarly, isOver } from './steps';

const REJECTED = ['item_unavailable', 'too_busy', 'closing_soon', 'cannot_deliver', 'other'] as const;
const FAILED = [
  'card_declined',
  'insufficient_funds',
  'expired_card',
  'authentication_required',
  'called_off',
  'other',
] as const;
const CANCELLED = [
  'changed_mind',
  'duplicate',
  'wrong_address',
  'too_slow',
  'item_unavailable',
  'kitchen_closed',
  'no_courier',
  'customer_unreachable',
  'other',
] as const;

export type ClosureKey =
  | `rejected.${(typeof REJECTED)[number]}`
  | `failed.${(typeof FAILED)[number]}`
  | `cancelled.${(typeof CANCELLED)[number]}`
  | 'expired.restaurant'
  | 'expired.payment'
  | 'ended.other';

export type ClosureTitle = 'ended.rejected' | 'ended.expired' | 'ended.payment_failed' | 'ended.cancelled';

/** Returns `value` if it is one of `values`, and `other` for a reason that this build does not know or does not show. */
function oneOf<Value extends string>(values: readonly Value[], value: string | undefined): Value | 'other' {
  return values.find((one) => one === value) ?? 'other';
}

/** Returns the headline of an order that ended early. */
export function closureTitle(order: TrackedOrder): ClosureTitle {
  switch (order.closure?.how) {
    case 'rejected':
      return 'ended.rejected';
    case 'expired':
      return 'ended.expired';
    case 'payment_failed':
      return 'ended.payment_failed';
    default:
      return 'ended.cancelled';
  }
}

/** Returns the explanation of an order that ended early. */
export function closureText(order: TrackedOrder): ClosureKey {
  const reason = order.closure?.reason;
  switch (order.closure?.how) {
    case 'rejected':
      return `rejected.${oneOf(REJECTED, reason)}`;
    case 'expired':
      return order.closure.waited_for === 'payment' ? 'expired.payment' : 'expired.restaurant';
    case 'payment_failed':
      return `failed.${oneOf(FAILED, reason)}`;
    case 'cancelled':
      return `cancelled.${oneOf(CANCELLED, reason)}`;
    default:
      return 'ended.other';
  }
}

/** Whether the order ended because it was not paid, so that another attempt to pay may work. */
export function isUnpaid(order: TrackedOrder): boolean {
  const { closure } = order;
  return closure?.how === 'payment_failed' || (closure?.how === 'expired' && closure.waited_for === 'payment');
}

/** Names of the order's items that were unavailable. An item that is not among the lines has no name to show. */
export function unavailableNames(order: TrackedOrder): string[] {
  const missing = new Set((order.closure?.items ?? []).map((item) => item.item));
  return [...new Set(order.lines.filter((line) => missing.has(line.item)).map((line) => line.name))];
}

export type MoneyKey =
  | 'money.nothing'
  | 'money.cash_due'
  | 'money.cash_paid'
  | 'money.cash_returned'
  | 'money.pending'
  | 'money.reserved'
  | 'money.releasing'
  | 'money.released'
  | 'money.not_charged'
  | 'money.charged'
  | 'money.refund_coming'
  | 'money.refunded'
  | 'money.partly_refunded'
  | 'money.interrupted';

/** What happened with the money. `amount` is what the sentence is about, `whole` the sum that it is a part of. */
export interface MoneyOutcome {
  key: MoneyKey;
  amount: number;
  whole: number;
}

/** Returns what happened with the customer's money, and what is still to come. */
export function moneyOutcome(order: TrackedOrder): MoneyOutcome {
  const { method, status, captured, refunded } = order.payment;
  const total = order.amounts.total;
  const early = endedEarly(order);
  const outcome = (key: MoneyKey, amount = total, whole = total): MoneyOutcome => ({ key, amount, whole });

  if (captured > 0) {
    if (refunded >= captured) return outcome(method === 'cash' ? 'money.cash_returned' : 'money.refunded', refunded);
    // The whole sum of an order that ended early goes back, so what is missing is on its way.
    if (early) return outcome('money.refund_coming', captured - refunded, captured);
    if (refunded > 0) return outcome('money.partly_refunded', refunded, captured);
    return outcome(method === 'cash' ? 'money.cash_paid' : 'money.charged', captured);
  }
  if (total === 0) return outcome('money.nothing');
  if (method === 'cash') return outcome(isOver(order) ? 'money.nothing' : 'money.cash_due');
  if (status === 'failed') return outcome('money.not_charged');
  if (status === 'voided') return outcome(early ? 'money.released' : 'money.interrupted');
  if (status === 'authorized') return outcome(early ? 'money.releasing' : 'money.reserved');
  return outcome(early ? 'money.not_charged' : 'money.pending');
}

export type CancelEffect = 'cancel.effect.cash' | 'cancel.effect.card';

/** What a cancellation now does to the money. A customer can cancel only before the money is captured. */
export function cancelEffect(order: TrackedOrder): CancelEffect {
  return order.payment.method === 'cash' || order.amounts.total === 0 ? 'cancel.effect.cash' : 'cancel.effect.card';
}
