// What cancelling several orders does to the money: the sums of their previews, per currency.
import type { Effect } from './preview';

export interface Sum {
  name: 'authorized_voided' | 'captured' | 'refunded' | 'refund_scheduled';
  currency: string;
  amount: number;
}

const MEMBERS = ['authorized_voided', 'captured', 'refunded', 'refund_scheduled'] as const;

export function sumsOf(effects: readonly Pick<Effect, 'money'>[]): Sum[] {
  const sums = new Map<string, Sum>();
  for (const { money } of effects) {
    for (const name of MEMBERS) {
      const amount = money[name];
      if (amount === undefined) continue;
      const key = `${name} ${money.currency}`;
      const sum = sums.get(key) ?? { name, currency: money.currency, amount: 0 };
      sums.set(key, { ...sum, amount: sum.amount + amount });
    }
  }
  return [...sums.values()];
}
