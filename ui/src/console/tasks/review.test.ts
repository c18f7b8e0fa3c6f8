import { beforeEach, expect, it } from 'vitest';
import { setMessages } from '../../lib/i18n/index.svelte';
import ar from '../messages/ar';
import en from '../messages/en';
import { amountOf, sentenceOf } from './review';

beforeEach(() => setMessages('en', en));

it('names amounts as people write them', () => {
  const differs = { type: 'payment_differs', step: 'captured', money: { amount: 3169, currency: 'GBP' } } as const;
  expect(amountOf(differs, undefined)).toBe('£31.69');
  expect(sentenceOf(differs, undefined)).toMatch(/^The payment provider captured £31\.69, which is not the order’s total\./);
  const disputed = { type: 'chargeback_opened', number: 2, amount: 1200 } as const;
  expect(sentenceOf(disputed, 'JPY')).toBe('The customer disputes ¥1,200 with their bank (refund 2). Answer at the payment provider.');
  // Without the order's currency the amount is unknown, and the server's sentence is shown.
  expect(sentenceOf(disputed, undefined)).toBeUndefined();
});

it.each([
  [{ type: 'refund_failed', number: 1, reason: 'declined' }, /refused refund 1: Declined\. The customer does not have/],
  [{ type: 'refund_reversed', number: 1, reason: 'a later reason' }, /^Refund 1 failed .*: a later reason\./],
  [{ type: 'payment_voided' }, /the food is not paid for/],
  [{ type: 'refunded_at_provider', number: 3, amount: 99 }, /^£0\.99 was refunded at the payment provider \(refund 3\)/],
  [{ type: 'chargeback_lost', number: 1 }, /^The chargeback of refund 1 is lost\./],
  [{ type: 'chargeback_won', number: 1 }, /^The chargeback of refund 1 is won\./],
  [{ type: 'payment_differs', step: 'authorized', money: { amount: 1, currency: 'GBP' } }, /authorized £0\.01/],
] as const)('%j is a sentence in every language', (reason, sentence) => {
  const english = sentenceOf(reason, 'GBP');
  expect(english).toMatch(sentence);
  expect(english).not.toMatch(/[{}]/);
  setMessages('ar', ar);
  expect(sentenceOf(reason, 'GBP')).toMatch(/^[^{}]*[\u0600-\u06ff][^{}]*$/);
});

it.each([[{ type: 'of_a_later_version' }], [{ type: 'payment_differs', step: 'later', money: { amount: 1, currency: 'GBP' } }]])(
  'of %j knows no sentence',
  (reason) => {
    expect(sentenceOf(reason as Parameters<typeof sentenceOf>[0], 'GBP')).toBeUndefined();
  },
);
