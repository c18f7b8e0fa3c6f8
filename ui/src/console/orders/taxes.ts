// Names of an order's taxes. Its ledger and its refunds refer to taxes by their ids.
import type { Body, Order } from '../../lib/api';
import { isolate } from '../../lib/bidi';
import { taxLabel } from '../../lib/bill';
import { money } from '../../lib/format';

/** Returns the tax with this id, with its rate; the id if the order does not state the tax. */
export function taxNamed(taxes: Order['taxes'], id: string): string {
  const tax = taxes?.find((one) => one.id === id);
  return tax === undefined ? isolate(id) : taxLabel(tax);
}

/** Returns shares of an order's taxes as text, such as `VAT 20% £1.20, City tax 1% £0.06`. */
export function sharesOf({ currency, taxes }: Pick<Order, 'currency' | 'taxes'>, shares: readonly Body<'TaxShare'>[]): string {
  return shares.map(({ tax, amount }) => `${taxNamed(taxes, tax)} ${money(amount, currency)}`).join(', ');
}
