// Made-up orders of a made-up restaurant, for states that a real server reaches only slowly.
import type { BoardItem, BoardOrder, Restaurant } from '../../src/kitchen/types';

export const RESTAURANT_ID = '019b0000-0000-7000-8000-0000000000aa';

/** A reproducible source of numbers from 0 to 1. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const DISHES = [
  ['onion-bhaji', 'Onion Bhaji', 450],
  ['chicken-tikka-masala', 'Chicken Tikka Masala', 1195],
  ['dal-makhani', 'Dal Makhani', 795],
  ['garlic-naan', 'Garlic Naan', 325],
  ['lamb-biryani', 'Lamb Biryani', 1350],
  ['paneer-tikka', 'Paneer Tikka', 895],
  ['mango-lassi', 'Mango Lassi', 350],
  ['saag-aloo', 'Saag Aloo', 695],
] as const;
const OPTIONS = ['Mild', 'Hot', 'Extra raita', 'No onions', 'Large'];
const NAMES = ['Asha Patel', 'Tom Berry', 'Zainab Yusuf', 'Lukas Meyer', 'Mei Chen', 'Omar Haddad', 'Priya Nair'];
const NOTES = ['No peanuts, please: allergy.', 'Cut the naan in half.', 'Extra hot!'];
const CODES = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** The items of the menu. */
export const MENU = DISHES.map(([id, name]) => ({ id, name }));

/** The items that are unavailable or limited. */
export function items(): BoardItem[] {
  return [
    { item: 'dal-makhani', name: 'Dal Makhani', available: false, until: '2026-06-01T21:00:00Z' },
    { item: 'garlic-naan', name: 'Garlic Naan', available: true, remaining: 14 },
    { item: 'mango-lassi', name: 'Mango Lassi', available: true, remaining: 0 },
  ];
}

export function restaurant(now: number): Restaurant {
  return {
    id: RESTAURANT_ID,
    revision: 3,
    name: 'Curry Mile Kitchen',
    currency: 'GBP',
    country: 'GB',
    time_zone: 'Europe/London',
    tax_rate_basis_points: 2000,
    delivers: true,
    collection: true,
    acceptance_deadline_seconds: 480,
    refund_limit: 5000,
    accepting: true,
    created_at: new Date(now - 86_400_000).toISOString(),
  } as Restaurant;
}

const ACTIONS: Record<string, string[]> = {
  confirmed: ['accept', 'reject', 'cancel'],
  preparing: ['mark_ready', 'cancel'],
  ready_for_pickup: ['cancel'],
  out_for_delivery: [],
};

/** Returns the commands that the staff may give. */
export function actionsOf(order: BoardOrder): BoardOrder['allowed_actions'] {
  const commands = [...(ACTIONS[order.status] ?? [])];
  if (order.status === 'ready_for_pickup' && order.fulfilment.type === 'collection') commands.unshift('deliver');
  return commands.map((command) => ({ command })) as BoardOrder['allowed_actions'];
}

/** A delivered order of £20.00 with two fees beside the delivery, one tax that is added to the prices, and one that they include. */
export const CHARGED = {
  lines: [{ item: 'paneer-tikka', name: 'Paneer Tikka', quantity: 2, unit_price: 1000, total: 2000 }],
  amounts: { subtotal: 2000, discount: 0, tax: 178, delivery_fee: 250, other_fees: 125, tip: 0, total: 2553 },
  fees: [
    { id: 'delivery', name: 'Delivery', kind: 'delivery', amount: 250, receiver: 'platform' },
    { id: 'service', name: 'Service charge', kind: 'service', amount: 100, receiver: 'restaurant' },
    { id: 'bag', name: 'رسم الكيس', kind: 'packaging', amount: 25, receiver: 'authority' },
  ],
  taxes: [
    { id: 'vat', name: 'VAT', rate: '20', included: 'net', authority: 'HMRC', remitted_by: 'restaurant', rounding: 'half_up', base: 2000, amount: 333 },
    { id: 'city', name: 'City tax', rate: '8.875', included: 'no', authority: 'City', remitted_by: 'restaurant', rounding: 'half_up', base: 2000, amount: 178 },
  ],
} satisfies Partial<BoardOrder>;

export interface Wanted {
  status?: BoardOrder['status'];
  /** Seconds since the order was placed. */
  age?: number;
  /** Seconds until the food should be ready. */
  readyIn?: number;
  collection?: boolean;
  lines?: number;
  changes?: Partial<BoardOrder>;
}

export class Orders {
  readonly #random: () => number;
  #next = 1;

  constructor(seed = 7) {
    this.#random = random(seed);
  }

  #pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#random() * list.length)] as T;
  }

  make(now: number, wanted: Wanted = {}): BoardOrder {
    const number = this.#next++;
    const status = wanted.status ?? 'confirmed';
    const placed = now - (wanted.age ?? 60) * 1_000;
    const time = (at: number) => new Date(at).toISOString();
    const end = Array.from({ length: 5 }, () => this.#pick([...CODES]));
    const lines = Array.from({ length: wanted.lines ?? 1 + Math.floor(this.#random() * 4) }, () => this.#line());
    const subtotal = lines.reduce((sum, line) => sum + (line.total ?? 0), 0);
    const tax = Math.round(subtotal / 5);
    const collection = wanted.collection ?? this.#random() < 0.4;
    const fee = collection ? 0 : 250;
    const cash = this.#random() < 0.3;
    const name = this.#pick(NAMES);
    const order = {
      id: `019b0000-0000-7000-8000-${number.toString(16).padStart(4, '0')}${Math.floor(this.#random() * 2 ** 32).toString(16).padStart(8, '0')}`,
      display_code: end.join(''),
      restaurant_id: RESTAURANT_ID,
      restaurant_name: 'Curry Mile Kitchen',
      status,
      version: 3,
      placed_at: time(placed),
      updated_at: time(placed),
      acceptance_deadline: time(placed + 480_000),
      currency: 'GBP',
      amounts: { subtotal, tax, delivery_fee: fee, tip: 0, discount: 0, total: subtotal + tax + fee },
      lines,
      contact: { name, phone: '+44 161 496 0000' },
      fulfilment: collection
        ? { type: 'collection' }
        : { type: 'delivery', address: { line1: '7 Wilmslow Road', line2: 'Flat 3', city: 'Manchester', postal_code: 'M14 5TP', instructions: 'Ring twice.' } },
      payment: { method: cash ? 'cash' : 'card', status: cash ? 'pending' : 'captured', captured: 0, refunded: 0 },
      menu_revision: 1,
      allowed_actions: [],
      ...wanted.changes,
    } as unknown as BoardOrder;
    if (status !== 'confirmed') order.ready_by = time(now + (wanted.readyIn ?? 900) * 1_000);
    if (order.note === undefined && this.#random() < 0.2) order.note = this.#pick(NOTES);
    order.allowed_actions = actionsOf(order);
    return order;
  }

  #line(): BoardOrder['lines'][number] {
    const [item, name, price] = this.#pick(DISHES);
    const quantity = this.#random() < 0.6 ? 1 : 2 + Math.floor(this.#random() * 2);
    const line = { item, name, quantity, unit_price: price, total: price * quantity } as BoardOrder['lines'][number];
    if (this.#random() < 0.5) {
      const option = this.#pick(OPTIONS);
      line.options = [{ group: 'choice', option: 'one', name: option, price: 0 }];
    }
    if (this.#random() < 0.12) line.note = 'Well done, please.';
    return line;
  }
}
