import { expect, it } from 'vitest';
import { sumsOf } from './bulk-cancel';

it('amounts are added per kind and currency, never across currencies', () => {
  const effects = [
    { money: { currency: 'GBP', authorized_voided: 100 } },
    { money: { currency: 'GBP', authorized_voided: 50, refund_scheduled: 7 } },
    { money: { currency: 'JPY', authorized_voided: 3 } },
    { money: { currency: 'GBP' } },
  ];
  expect(sumsOf(effects)).toEqual([
    { name: 'authorized_voided', currency: 'GBP', amount: 150 },
    { name: 'refund_scheduled', currency: 'GBP', amount: 7 },
    { name: 'authorized_voided', currency: 'JPY', amount: 3 },
  ]);
  expect(sumsOf([])).toEqual([]);
});
