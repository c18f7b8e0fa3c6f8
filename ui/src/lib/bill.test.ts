import { beforeEach, describe, expect, it } from 'vitest';
import { billOf, taxLabel, type Bill, type Priced } from './bill';
import { common as ar } from './i18n/common/ar';
import { common as en } from './i18n/common/en';
import { common as hi } from './i18n/common/hi';
import { setMessages } from './i18n/index.svelte';

/** The text without the characters that only control direction and spacing. */
const plain = (text: string) => text.replace(/[\u2066-\u2069\u200e\u200f\u061c]/g, '').replace(/[\u00a0\u202f]/g, ' ');
/** The bill as lines of text. */
const linesOf = ({ rows, included }: Bill) => [...rows.map(({ label, amount }) => `${plain(label)}: ${amount}`), ...included.map(plain)];

const amountsOf = (changes: Partial<NonNullable<Priced['amounts']>>) => {
  const amounts = { subtotal: 1000, discount: 0, delivery_fee: 0, tax: 0, tip: 0, total: 0, ...changes };
  const { subtotal, discount, delivery_fee, other_fees = 0, tax, tip } = amounts;
  return { ...amounts, total: subtotal - discount + delivery_fee + other_fees + tax + tip };
};
const priced = (changes: Parameters<typeof amountsOf>[0], more: Partial<Priced> = {}): Priced => ({
  currency: 'GBP',
  amounts: amountsOf(changes),
  ...more,
});

const DELIVERY = { name: 'Courier', kind: 'delivery', amount: 299 };
const SERVICE = { name: 'Service charge', kind: 'service', amount: 50 };
const BAG = { name: 'Bag levy', kind: 'packaging', amount: 25 };
const CITY = { id: 'city', name: 'City tax', rate: '8.875', included: 'no', amount: 89 };
const STATE = { id: 'state', name: 'State tax', rate: '4', included: 'no', amount: 40 };
const VAT = { id: 'vat', name: 'VAT', rate: '20', included: 'net', amount: 167 };
const LUXURY = { id: 'luxury', name: 'Luxury tax', rate: '0.5', included: 'gross', amount: 5 };

beforeEach(() => setMessages('en', en));

const CASES: [name: string, order: Priced, delivers: boolean, lines: string[]][] = [
  ['an old order', priced({ tax: 200, delivery_fee: 299, tip: 100 }), true, ['Items: 1000', 'Delivery: 299', 'Tax: 200', 'Tip: 100', 'Total: 1599']],
  ['an old order with a sum of other fees', priced({ other_fees: 75 }), false, ['Items: 1000', 'Fees: 75', 'Total: 1075']],
  ['a discount', priced({ discount: 150 }), false, ['Items: 1000', 'Discount: -150', 'Total: 850']],
  ['nothing but zeros', priced({ subtotal: 0 }), false, ['Items: 0', 'Total: 0']],
  ['a free delivery', priced({}), true, ['Items: 1000', 'Delivery: 0', 'Total: 1000']],
  [
    'added taxes',
    priced({ tax: 129 }, { taxes: [CITY, STATE] }),
    false,
    ['Items: 1000', 'City tax 8.875%: 89', 'State tax 4%: 40', 'Total: 1129'],
  ],
  [
    'included taxes',
    priced({}, { taxes: [VAT, LUXURY] }),
    false,
    ['Items: 1000', 'Total: 1000', 'Includes VAT 20%: £1.67', 'Includes Luxury tax 0.5%: £0.05'],
  ],
  [
    'several fees',
    priced({ delivery_fee: 299, other_fees: 75 }, { fees: [DELIVERY, SERVICE, BAG] }),
    true,
    ['Items: 1000', 'Delivery: 299', 'Service charge: 50', 'Bag levy: 25', 'Total: 1374'],
  ],
  [
    'everything',
    priced({ delivery_fee: 299, other_fees: 75, tax: 89, tip: 100 }, { fees: [DELIVERY, SERVICE, BAG], taxes: [CITY, VAT] }),
    true,
    ['Items: 1000', 'Delivery: 299', 'Service charge: 50', 'Bag levy: 25', 'City tax 8.875%: 89', 'Tip: 100', 'Total: 1563', 'Includes VAT 20%: £1.67'],
  ],
  [
    'fees and taxes of zero',
    priced({}, { fees: [{ ...SERVICE, amount: 0 }], taxes: [{ ...CITY, amount: 0 }, { ...VAT, amount: 0 }] }),
    false,
    ['Items: 1000', 'Total: 1000'],
  ],
  ['an inclusion that this build does not know', priced({}, { taxes: [{ ...VAT, included: 'half' }] }), false, ['Items: 1000', 'Total: 1000', 'Includes VAT 20%: £1.67']],
];

describe('a bill', () => {
  it.each(CASES)('with %s', (_, order, delivers, lines) => {
    const bill = billOf(order, delivers);
    expect(linesOf(bill)).toEqual(lines);
    const parts = bill.rows.slice(0, -1).map(({ amount }) => amount);
    expect(parts.reduce((sum, amount) => sum + amount, 0)).toBe(bill.rows.at(-1)?.amount);
  });

  it('is empty for a caller who may not see the amounts', () => {
    expect(billOf({ currency: 'GBP' })).toEqual({ rows: [], included: [] });
  });

  it('isolates the names of fees and taxes from the text around them', () => {
    const { rows, included } = billOf(priced({ other_fees: 50 }, { fees: [{ ...SERVICE, name: 'خدمة' }], taxes: [{ ...VAT, name: 'ضريبة' }] }));
    expect(rows[1]?.label).toBe('\u2068خدمة\u2069');
    expect(included).toEqual(['Includes \u2068ضريبة\u2069 20%: £1.67']);
  });

  it('replaces nothing in a name', () => {
    expect(billOf(priced({}, { taxes: [{ ...VAT, name: '{amount} $& <b>' }] })).included.map(plain)).toEqual(['Includes {amount} $& <b> 20%: £1.67']);
  });

  it('is written in the language of the page', () => {
    const order = priced({ other_fees: 75, tax: 89 }, { taxes: [CITY, VAT] });
    setMessages('hi', hi);
    expect(linesOf(billOf(order))).toEqual(['आइटम: 1000', 'शुल्क: 75', 'City tax 8.875%: 89', 'कुल: 1164', 'इसमें VAT 20% शामिल: £1.67']);
    setMessages('ar', ar, 'ar-EG');
    expect(linesOf(billOf(order))).toEqual(['الأصناف: 1000', 'الرسوم: 75', 'City tax ٨٫٨٧٥٪: 89', 'الإجمالي: 1164', 'يشمل VAT ٢٠٪: ١٫٦٧ £']);
  });
});

it('a tax that the settings state as a bare rate is named in the language of the page', () => {
  const tax = { id: 'tax', name: 'Tax', rate: '20' };
  setMessages('hi', hi);
  expect(taxLabel(tax)).toBe('कर 20%');
  expect(plain(taxLabel({ ...tax, name: 'GST' }))).toBe('GST 20%');
});
