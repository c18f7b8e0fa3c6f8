import { beforeEach, expect, it } from 'vitest';
import { common } from '../../lib/i18n/common/en';
import { setMessages } from '../../lib/i18n/index.svelte';
import { sharesOf, taxNamed } from './taxes';

const rule = { authority: 'Revenue', remitted_by: 'restaurant', rounding: 'half_up', base: 1000, amount: 89 };
const taxes = [
  { ...rule, id: 'city', name: 'City tax', rate: '8.875', included: 'no' },
  { ...rule, id: 'vat', name: 'VAT', rate: '20', included: 'net' },
];
const plain = (text: string) => text.replace(/[\u2066-\u2069]/g, '');

beforeEach(() => setMessages('en', common));

it('an id becomes the name of the tax with its rate', () => {
  expect(plain(taxNamed(taxes, 'city'))).toBe('City tax 8.875%');
});

it.each([[taxes], [undefined]])('an id that the order does not state stays an id', (stated) => {
  expect(plain(taxNamed(stated, 'old'))).toBe('old');
});

it('shares are listed with their amounts', () => {
  const shares = [
    { tax: 'city', amount: 9 },
    { tax: 'vat', amount: 120 },
  ];
  expect(plain(sharesOf({ currency: 'GBP', taxes }, shares))).toBe('City tax 8.875% £0.09, VAT 20% £1.20');
});
