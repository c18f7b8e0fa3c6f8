// What a review asks an admin to do, in the page's language and with amounts of money as people write them.
import { money, number } from '../../lib/format';
import { known } from '../../lib/i18n/index.svelte';
import type { ParkedTask } from '../parked.svelte';
import { t } from '../text';

/** A reason of a review as the API has it; a later version may have others. */
type Reason = NonNullable<ParkedTask['reason']>;

/** Returns the amount that a review is about. `currency` is the order's, if it is known. */
export function amountOf(reason: Reason, currency: string | undefined): string | undefined {
  if ('money' in reason) return money(reason.money.amount, reason.money.currency);
  return 'amount' in reason && currency !== undefined ? money(reason.amount, currency) : undefined;
}

/** Returns the sentence of a review; `undefined` if this build does not know the reason, or lacks the currency of its amount. */
export function sentenceOf(reason: Reason, currency: string | undefined): string | undefined {
  const refund = 'number' in reason ? number(reason.number) : '';
  const failure = 'reason' in reason ? known('failure', reason.reason) : '';
  const amount = amountOf(reason, currency);
  switch (reason.type) {
    case 'refund_failed':
    case 'refund_reversed':
      return t(`review.${reason.type}.text`, { refund, failure });
    case 'payment_voided':
      return t('review.payment_voided.text');
    case 'chargeback_lost':
    case 'chargeback_won':
      return t(`review.${reason.type}.text`, { refund });
    case 'refunded_at_provider':
    case 'chargeback_opened':
      return amount === undefined ? undefined : t(`review.${reason.type}.text`, { refund, amount });
    case 'payment_differs': {
      if (amount === undefined || !('step' in reason)) return undefined;
      if (reason.step === 'authorized') return t('review.payment_differs.authorized', { amount });
      return reason.step === 'captured' ? t('review.payment_differs.captured', { amount }) : undefined;
    }
    default:
      return undefined;
  }
}
