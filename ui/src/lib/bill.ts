// The rows of a bill: what makes up the total of an order or a quote, in words.
//
// The rows before the total add up to it. Fees and taxes have the names that the restaurant gives them. An order of an older
// version of Dabba states no fees and no taxes, only their sums, so it has one row for each sum.
import type { Body } from './api/contract';
import { isolate } from './bidi';
import { money, percent } from './format';
import { commonText } from './i18n/index.svelte';

type Fee = Body<'OrderFee'>;
type Tax = Body<'OrderTax'>;
type Word = 'subtotal' | 'discount' | 'delivery_fee' | 'fees' | 'tax' | 'tip' | 'total';

/** An order, a tracked order or a quote. */
export interface Priced {
  currency: string;
  /** Absent for a caller who may not see the amounts. */
  amounts?: Body<'Amounts'>;
  fees?: readonly Pick<Fee, 'name' | 'kind' | 'amount'>[];
  taxes?: readonly Pick<Tax, 'id' | 'name' | 'rate' | 'included' | 'amount'>[];
}

export interface Row {
  label: string;
  amount: number;
}

export interface Bill {
  /** The last row is the total. Without rows, the caller may not see the amounts. */
  rows: Row[];
  /** Sentences about the taxes that the prices include. The total does not change by them. */
  included: string[];
}

/** Returns a tax with its rate, such as `VAT 20%`. */
export function taxLabel({ id, name, rate }: Pick<Tax, 'id' | 'name' | 'rate'>): string {
  // The server names a tax that the settings state as a bare rate.
  const isUnnamed = id === 'tax' && name === 'Tax';
  return `${isUnnamed ? commonText('amounts.tax') : isolate(name)} ${percent(rate)}`;
}

const row = (label: string, amount: number, always = false): Row[] => (amount === 0 && !always ? [] : [{ label, amount }]);
const sum = (word: Word, amount = 0, always = false) => row(commonText(`amounts.${word}`), amount, always);

/**
 * Returns the bill of an order or a quote. Amounts of zero, such as no tip, have no row; subtotal and total always do.
 * `delivers`: whether the fee for delivery has a row even if it is zero.
 */
export function billOf({ currency, amounts, fees, taxes }: Priced, delivers = false): Bill {
  if (amounts === undefined) return { rows: [], included: [] };
  const { subtotal, discount, delivery_fee, other_fees, tax, tip, total } = amounts;
  const rows = [
    sum('subtotal', subtotal, true),
    sum('discount', -discount),
    sum('delivery_fee', delivery_fee, delivers),
    fees?.flatMap(({ kind, name, amount }) => (kind === 'delivery' ? [] : row(isolate(name), amount))) ?? sum('fees', other_fees),
    taxes?.flatMap((one) => (one.included === 'no' ? row(taxLabel(one), one.amount) : [])) ?? sum('tax', tax),
    sum('tip', tip),
    sum('total', total, true),
  ].flat();
  const included = (taxes ?? [])
    .filter((one) => one.included !== 'no' && one.amount !== 0)
    .map((one) => commonText('amounts.included', { tax: taxLabel(one), amount: money(one.amount, currency) }));
  return { rows, included };
}
