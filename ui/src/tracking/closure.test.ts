import { describe, expect, it } from 'vitest';
import en from './messages/en';
import { cancelEffect, closureText, closureTitle, isUnpaid, moneyOutcome, unavailableNames } from './closure';
import { CARD, CASH, exampleOrder } from './example';

const ended = (closure: ReturnType<typeof exampleOrder>['closure'], changes = {}) =>
  exampleOrder({ status: 'cancelled', ...(closure && { closure }), ...changes });

describe('the explanation of an early end', () => {
  const reasons: Record<string, string[]> = {
    rejected: ['item_unavailable', 'too_busy', 'closing_soon', 'cannot_deliver', 'other'],
    payment_failed: [
      ...['card_declined', 'insufficient_funds', 'expired_card', 'authentication_required'],
      ...['invalid_token', 'suspected_fraud', 'called_off', 'not_accepted', 'other'],
    ],
    cancelled: [
      ...['changed_mind', 'duplicate', 'wrong_address', 'too_slow', 'item_unavailable', 'kitchen_closed'],
      ...['no_courier', 'customer_unreachable', 'suspected_fraud', 'other'],
    ],
    expired: [''],
  };

  it.each(Object.entries(reasons).flatMap(([how, list]) => list.map((reason) => [how, reason])))(
    'has a text for %s %s, and never shows the bare reason',
    (how, reason) => {
      const text = en[closureText(ended({ how, reason }))];
      expect(text).toMatch(/^[A-Z].*\.$/);
      expect(text).not.toContain('_');
    },
  );

  it('has a text for a reason and a closure of a newer server', () => {
    expect(closureText(ended({ how: 'rejected', reason: 'alien_invasion' }))).toBe('rejected.other');
    expect(closureText(ended({ how: 'evaporated' }))).toBe('ended.other');
    expect(closureText(ended(undefined))).toBe('ended.other');
    expect(closureTitle(ended(undefined))).toBe('ended.cancelled');
  });

  it('does not show a customer that they are suspected of fraud', () => {
    expect(closureText(ended({ how: 'cancelled', reason: 'suspected_fraud' }))).toBe('cancelled.other');
    expect(closureText(ended({ how: 'payment_failed', reason: 'suspected_fraud' }))).toBe('failed.other');
  });

  it('distinguishes an expired payment from an expired acceptance', () => {
    expect(closureText(ended({ how: 'expired', waited_for: 'restaurant' }))).toBe('expired.restaurant');
    expect(closureText(ended({ how: 'expired', waited_for: 'payment' }))).toBe('expired.payment');
  });

  it('knows which orders another payment may save', () => {
    expect(isUnpaid(ended({ how: 'payment_failed', reason: 'card_declined' }))).toBe(true);
    expect(isUnpaid(ended({ how: 'expired', waited_for: 'payment' }))).toBe(true);
    expect(isUnpaid(ended({ how: 'expired', waited_for: 'restaurant' }))).toBe(false);
    expect(isUnpaid(ended({ how: 'rejected', reason: 'too_busy' }))).toBe(false);
    expect(isUnpaid(exampleOrder())).toBe(false);
  });

  it('names unavailable items by their lines, each once', () => {
    const lines = [...exampleOrder().lines, ...exampleOrder().lines];
    const items = [{ item: 'dal' }, { item: 'not-ordered' }];
    expect(unavailableNames(ended({ how: 'rejected', items }, { lines }))).toEqual(['Black Dal']);
  });
});

describe('the money', () => {
  const card = (status: string, captured = 0, refunded = 0) => ({ ...CARD, status, captured, refunded });

  it.each([
    ['waits for the card', { status: 'created', payment: card('pending') }, 'money.pending', 1499],
    ['is reserved', { payment: CARD }, 'money.reserved', 1499],
    ['is charged', { status: 'preparing', payment: card('captured', 1499) }, 'money.charged', 1499],
    ['is due in cash', { payment: CASH }, 'money.cash_due', 1499],
    ['was paid in cash', { status: 'delivered', payment: { ...CASH, captured: 1499 } }, 'money.cash_paid', 1499],
    ['is being released', { status: 'cancelled', payment: CARD }, 'money.releasing', 1499],
    ['was released', { status: 'cancelled', payment: card('voided') }, 'money.released', 1499],
    ['was released during preparation', { status: 'preparing', payment: card('voided') }, 'money.interrupted', 1499],
    ['was never taken', { status: 'cancelled', payment: card('failed') }, 'money.not_charged', 1499],
    ['was never reserved', { status: 'cancelled', payment: card('pending') }, 'money.not_charged', 1499],
    ['comes back', { status: 'cancelled', payment: card('captured', 1499) }, 'money.refund_coming', 1499],
    ['comes back in part', { status: 'cancelled', payment: card('partially_refunded', 1499, 499) }, 'money.refund_coming', 1000],
    ['came back', { status: 'refunded', payment: card('refunded', 1499, 1499) }, 'money.refunded', 1499],
    ['came back in part', { status: 'delivered', payment: card('partially_refunded', 1499, 400) }, 'money.partly_refunded', 400],
    ['was given back in cash', { status: 'refunded', payment: { ...CASH, captured: 1499, refunded: 1499 } }, 'money.cash_returned', 1499],
    ['is not due after an end', { status: 'cancelled', payment: CASH }, 'money.nothing', 1499],
  ])('%s', (_, changes, key, amount) => {
    expect(moneyOutcome(exampleOrder(changes))).toMatchObject({ key, amount });
  });

  it('is nothing for an order that costs nothing', () => {
    const amounts = { ...exampleOrder().amounts, total: 0 };
    expect(moneyOutcome(exampleOrder({ amounts, payment: card('captured') })).key).toBe('money.nothing');
    expect(cancelEffect(exampleOrder({ amounts }))).toBe('cancel.effect.cash');
  });

  it('says before a cancellation what it does', () => {
    expect(cancelEffect(exampleOrder())).toBe('cancel.effect.card');
    expect(cancelEffect(exampleOrder({ payment: CASH }))).toBe('cancel.effect.cash');
  });
});
