// Orders and a menu in every state that the tracking and ordering pages show. Times are relative to `now`.

const MINUTE = 60_000;
/** @param {number} now @param {number} minutes */
const at = (now, minutes) => new Date(now + minutes * MINUTE).toISOString();

const RESTAURANT = {
  id: '0199-restaurant',
  name: 'Saffron Lane',
  time_zone: 'Europe/London',
  country: 'GB',
  location: { lat: 51.5246, lng: -0.0716 },
};

const LINES = [
  {
    item: 'masala-dosa',
    name: 'Masala Dosa',
    quantity: 2,
    unit_price: 1105,
    total: 2210,
    options: [
      { group: 'filling', option: 'paneer', name: 'Paneer', price: 150 },
      { group: 'chutneys', option: 'coconut-chutney', name: 'Coconut Chutney', price: 60 },
    ],
  },
  { item: 'black-dal', name: 'Black Dal', quantity: 1, unit_price: 780, total: 780 },
  { item: 'mango-lassi', name: 'Mango Lassi', quantity: 1, unit_price: 490, total: 490 },
];

/**
 * Two fees beside the delivery, one tax that prices include, and one that is added to them, with the amounts.
 * @param {number} subtotal
 * @param {number} delivery_fee
 */
export function chargesOf(subtotal, delivery_fee) {
  const [service, bag, tax] = [Math.round(subtotal * 0.05), 50, Math.round(subtotal * 0.08875)];
  const other_fees = service + bag;
  const rule = { remitted_by: 'restaurant', rounding: 'half_up', base: subtotal };
  return {
    amounts: { subtotal, discount: 0, tax, delivery_fee, other_fees, tip: 0, total: subtotal + tax + delivery_fee + other_fees },
    fees: [
      { id: 'delivery', name: 'Delivery', kind: 'delivery', amount: delivery_fee, receiver: 'platform' },
      { id: 'service', name: 'Service charge', kind: 'service', amount: service, receiver: 'restaurant' },
      { id: 'bag', name: 'رسم الكيس', kind: 'packaging', amount: bag, receiver: 'authority' },
    ],
    taxes: [
      { ...rule, id: 'vat', name: 'VAT', rate: '20', included: 'net', authority: 'Revenue', amount: Math.round(subtotal / 6) },
      { ...rule, id: 'city', name: 'City tax', rate: '8.875', included: 'no', authority: 'City', amount: tax },
    ],
  };
}

const DELIVERY = {
  type: 'delivery',
  address: {
    line1: '14 Redchurch Street',
    line2: 'Flat 3',
    postal_code: 'E2 7DJ',
    city: 'London',
    instructions: 'Ring twice, the bell is quiet.',
    location: { lat: 51.5339, lng: -0.0555 },
  },
};

/** The tracking body of a state. `undefined`: no order belongs to the token. */
export function trackingOf(/** @type {string} */ state, now = Date.now()) {
  const cash = { method: 'cash', status: 'pending', captured: 0, refunded: 0 };
  const card = (/** @type {string} */ status, captured = 0, refunded = 0) => ({ method: 'card', status, captured, refunded });
  const cancel = [{ command: 'cancel' }];
  const steps = {
    confirmed_at: at(now, -28),
    accepted_at: at(now, -26),
    ready_at: at(now, -9),
    picked_up_at: at(now, -6),
    delivered_at: at(now, -1),
  };
  /** @param {(keyof typeof steps)[]} names */
  const done = (...names) => Object.fromEntries(names.map((name) => [name, steps[name]]));
  const ended = { status: 'cancelled', ended_at: at(now, -2) };
  /** @type {Record<string, Record<string, unknown>>} */
  const states = {
    created: { status: 'created', payment: card('pending'), allowed_actions: cancel },
    confirmed: {
      status: 'confirmed',
      payment: card('authorized'),
      acceptance_deadline: at(now, 6),
      allowed_actions: cancel,
      ...done('confirmed_at'),
    },
    preparing: { status: 'preparing', payment: card('captured', 4475), ready_by: at(now, 14), ...done('confirmed_at', 'accepted_at') },
    late: { status: 'preparing', payment: cash, ready_by: at(now, -4), ...done('confirmed_at', 'accepted_at') },
    ready: { status: 'ready_for_pickup', payment: cash, ...done('confirmed_at', 'accepted_at', 'ready_at') },
    collect: {
      status: 'ready_for_pickup',
      payment: cash,
      fulfilment: { type: 'collection' },
      ...done('confirmed_at', 'accepted_at', 'ready_at'),
    },
    underway: {
      status: 'out_for_delivery',
      payment: card('captured', 4475),
      ...done('confirmed_at', 'accepted_at', 'ready_at', 'picked_up_at'),
    },
    delivered: {
      status: 'delivered',
      ended_at: at(now, -1),
      payment: card('partially_refunded', 4475, 490),
      ...steps,
    },
    rejected: {
      ...ended,
      payment: card('authorized'),
      closure: { how: 'rejected', reason: 'item_unavailable', items: [{ item: 'black-dal' }] },
      ...done('confirmed_at'),
    },
    expired: { ...ended, payment: card('voided'), closure: { how: 'expired', waited_for: 'restaurant' }, ...done('confirmed_at') },
    failed: { ...ended, payment: card('failed'), closure: { how: 'payment_failed', reason: 'card_declined' } },
    cancelled: {
      ...ended,
      payment: card('captured', 4475, 0),
      closure: { how: 'cancelled', reason: 'kitchen_closed' },
      ...done('confirmed_at', 'accepted_at'),
    },
    refunded: {
      ...ended,
      status: 'refunded',
      payment: card('refunded', 4475, 4475),
      closure: { how: 'cancelled', reason: 'no_courier' },
      ...done('confirmed_at', 'accepted_at', 'ready_at'),
    },
    charged: { status: 'preparing', payment: cash, ready_by: at(now, 14), ...chargesOf(3480, 299), ...done('confirmed_at', 'accepted_at') },
    elsewhere: { status: 'preparing', payment: cash, ready_by: at(now, 14), ...done('confirmed_at', 'accepted_at') },
  };
  const found = states[state];
  if (found === undefined) return undefined;
  return {
    order: {
      id: `order-${state}`,
      display_code: 'K7M3Q',
      version: 3,
      placed_at: at(now, -30),
      updated_at: at(now, -2),
      currency: 'GBP',
      amounts: { subtotal: 3480, discount: 0, tax: 696, delivery_fee: 299, tip: 0, total: 4475 },
      lines: LINES,
      fulfilment: DELIVERY,
      allowed_actions: [],
      ...found,
    },
    restaurant: state === 'elsewhere' ? { ...RESTAURANT, name: 'Harbour Noodles', time_zone: 'Asia/Tokyo' } : RESTAURANT,
    now: new Date(now).toISOString(),
  };
}

/** @param {string} id @param {string} name @param {number} price */
const option = (id, name, price = 0) => ({ id, name, price_minor: price });
const FILLING = {
  id: 'filling',
  name: 'Filling',
  min: 1,
  max: 1,
  options: [option('potato', 'Spiced potato'), option('paneer', 'Paneer', 150), option('mushroom', 'Mushroom', 120)],
};
const CHUTNEYS = {
  id: 'chutneys',
  name: 'Chutneys',
  min: 0,
  max: 2,
  options: [option('coconut', 'Coconut Chutney', 60), option('tomato', 'Tomato Chutney', 60), option('peanut', 'Peanut Chutney', 80)],
};
const HEAT = { id: 'heat', name: 'Heat', min: 0, max: 1, options: [option('mild', 'Mild'), option('medium', 'Medium'), option('hot', 'Hot')] };

export function menuOf(now = Date.now()) {
  /** @param {string} id @param {string} name @param {number} price_minor @param {object} [more] */
  const item = (id, name, price_minor, more) => ({
    id,
    name,
    price_minor,
    option_groups: [],
    tags: [],
    stock_limited: false,
    availability: { status: 'available' },
    ...more,
  });
  return {
    restaurant_id: RESTAURANT.id,
    currency: 'GBP',
    revision: 7,
    availability_revision: 2,
    categories: [
      {
        name: 'Dosas',
        items: [
          item('masala-dosa', 'Masala Dosa', 895, {
            description: 'Rice and lentil crêpe, crisp, with a warm filling.',
            tags: ['vegetarian'],
            option_groups: [FILLING, CHUTNEYS],
          }),
          item('plain-dosa', 'Plain Dosa', 695, { description: 'Thin, crisp and long as your arm.', tags: ['vegan'] }),
          item('rava-dosa', 'Rava Dosa', 845, { availability: { status: 'unavailable', until: at(now, 190) } }),
        ],
      },
      {
        name: 'Curries',
        items: [
          item('black-dal', 'Black Dal', 780, { description: 'Simmered overnight.', tags: ['vegetarian'], option_groups: [HEAT] }),
          item('fish-moilee', 'Fish Moilee', 1290, { availability: { status: 'unavailable' } }),
          item('okra-fry', 'Okra Fry', 720, { tags: ['vegan'] }),
        ],
      },
      { name: 'Sides', items: [item('rice', 'Lemon Rice', 390, { tags: ['vegan'] }), item('raita', 'Raita', 250)] },
      { name: 'Drinks', items: [item('mango-lassi', 'Mango Lassi', 490), item('cardamom-tea', 'Cardamom Tea', 250)] },
    ],
  };
}

export function restaurantOf(now = Date.now(), changes = {}) {
  return {
    ...RESTAURANT,
    currency: 'GBP',
    accepting: true,
    collection: true,
    delivers: true,
    delivery: { fee: 299, free_from: 4000, minimum_order: 1200 },
    tax_rate_basis_points: 2000,
    created_at: at(now, -99_999),
    refund_limit: 0,
    revision: 1,
    acceptance_deadline_seconds: 480,
    ...changes,
  };
}
