import { money } from '../lib/format';
import type { MoneyOutcome } from './closure';
import { t } from './text';

/** Returns the sentence about the customer's money. */
export function moneyText(outcome: MoneyOutcome, currency: string): string {
  return t(outcome.key, { amount: money(outcome.amount, currency), whole: money(outcome.whole, currency) });
}
