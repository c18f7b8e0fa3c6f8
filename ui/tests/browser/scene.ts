// An evening at the demo's restaurant, for screenshots: orders in every status, some of them late.
import type { Dabba } from './dabba';

type Line = Record<string, unknown>;

const chosen = (group: string, option: string) => ({ group, option });
const DOSA: Line = {
  item: 'masala-dosa',
  quantity: 2,
  options: [chosen('filling', 'paneer'), chosen('chutneys', 'coconut-chutney')],
};
const ROAST: Line = { item: 'ghee-roast-dosa', quantity: 1, options: [chosen('chutneys', 'tomato-chutney')] };
const THALI: Line = { item: 'lane-thali', quantity: 1, options: [chosen('heat', 'mild')] };
const DAL: Line = { item: 'black-dal', quantity: 1, options: [chosen('heat', 'medium')] };
const LAMB: Line = { item: 'lamb-ridge-curry', quantity: 2, options: [chosen('heat', 'hot'), chosen('size', 'large')] };
const FISH: Line = { item: 'sea-bass-moilee', quantity: 1, options: [chosen('heat', 'mild')] };
const NAAN: Line = { item: 'garlic-naan', quantity: 3 };
const RICE: Line = { item: 'lemon-rice', quantity: 2 };
const COFFEE: Line = { item: 'cardamom-tea', quantity: 1 };
const LASSI: Line = { item: 'mango-lassi', quantity: 1, options: [chosen('size', 'large')] };
const TEA: Line = { item: 'cardamom-tea', quantity: 2 };

const address = (line1: string, location?: { lat: number; lng: number }) => ({
  type: 'delivery',
  address: { line1, city: 'London', postal_code: 'E2 7QB', ...(location === undefined ? {} : { location }) },
});
const COLLECTION = { type: 'collection' };
const CARD = { payment_method: 'card', payment_token: 'tok_succeed' };

export interface Scene {
  /** An order that is being prepared, with a plan of its way, and its tracking link. */
  tracked: { id: string; token: string };
  /** A delivered order that was partly refunded. */
  refunded: string;
  /** The tracking link of an order that the restaurant rejected. */
  rejected: string;
}

/** Makes the evening. Its end is the present. */
export async function playEvening(dabba: Dabba): Promise<Scene> {
  const wait = (minutes: number) =>
    dabba.call('admin', 'POST', '/v1/sandbox/clock/advance', { seconds: Math.round(minutes * 60) });
  const status = async (id: string) => (await dabba.call<{ status: string }>('admin', 'GET', `/v1/orders/${id}`)).status;

  async function place(name: string, lines: Line[], changes: Record<string, unknown> = {}): Promise<string> {
    const order = { contact: { name, phone: '+44 20 7946 0000' }, lines, note: undefined, tip: undefined, ...changes };
    const { id } = await dabba.placeOrder(order);
    // A card is authorized in the background.
    while ((await status(id)) === 'created') await new Promise((done) => setTimeout(done, 50));
    return id;
  }
  const act = (role: 'restaurant' | 'courier' | 'admin' | 'customer', id: string, command: string, body: unknown = {}) =>
    dabba.call(role, 'POST', `/v1/orders/${id}/${command}`, body);
  const accept = (id: string, minutes: number) => act('restaurant', id, 'accept', { preparation_minutes: minutes });
  const link = async (id: string) => (await dabba.call<{ token: string }>('customer', 'POST', `/v1/orders/${id}/tracking-link`)).token;
  async function deliver(id: string): Promise<void> {
    await act('courier', id, 'assign');
    await act('courier', id, 'pick-up');
    await act('courier', id, 'deliver');
  }

  const refunded = await place('Lukas Meyer', [LAMB, NAAN, LASSI], CARD);
  const early = await place('Mei Chen', [DOSA, TEA], { fulfilment: COLLECTION });
  await accept(refunded, 20);
  await accept(early, 15);
  await wait(14);
  await act('restaurant', early, 'ready');
  await act('restaurant', early, 'deliver');
  const cancelled = await place('Tom Berry', [COFFEE, TEA, NAAN], { fulfilment: COLLECTION });
  await act('customer', cancelled, 'cancel', { reason: 'changed_mind' });
  await wait(4);
  await act('restaurant', refunded, 'ready');
  await deliver(refunded);
  await act('admin', refunded, 'refund', { lines: [{ line: 2, quantity: 1 }], reason: 'missing_item', borne_by: 'restaurant' });
  const refused = await place('Zainab Yusuf', [FISH, RICE], { ...CARD, fulfilment: address('4 Weavers Row') });
  const rejected = await link(refused);
  await act('restaurant', refused, 'reject', { reason: 'too_busy' });

  const out = await place('Omar Haddad', [DAL, RICE, NAAN], { fulfilment: address('77 Arnold Circus') });
  const ready = await place('Sofia Rossi', [THALI, LASSI], { fulfilment: COLLECTION });
  const waiting = await place('Kofi Mensah', [LAMB, RICE], { fulfilment: address('15 Padbury Court') });
  for (const id of [out, ready, waiting]) await accept(id, 15);
  await wait(6);
  const late = await place('Ines Duarte', [FISH, DAL, NAAN], { fulfilment: COLLECTION });
  await accept(late, 10);
  await wait(9);
  for (const id of [out, ready, waiting]) await act('restaurant', id, 'ready');
  await act('courier', out, 'assign');
  await act('courier', out, 'pick-up');
  const parked = await place('Nadia Karim', [THALI, TEA, COFFEE], { ...CARD, payment_token: 'tok_captures_less' });
  await accept(parked, 25);
  const trackedId = await place('Asha Rao', [DOSA, DAL, { ...LASSI, note: 'No ice, please' }], {
    fulfilment: address('12 Lantern Street', { lat: 51.5339, lng: -0.0555 }),
    tip: 150,
  });
  await accept(trackedId, 20);
  await wait(3);
  await place('Priya Nair', [THALI, { ...ROAST, note: 'Extra crisp' }, TEA], { fulfilment: COLLECTION, note: 'No peanuts, please: allergy.' });
  await wait(2);
  await place('Jonas Weber', [LAMB, NAAN], CARD);
  await wait(1);
  await place('Amina Diallo', [DOSA, COFFEE, LASSI], { fulfilment: COLLECTION });
  const off = `/v1/restaurants/${dabba.restaurant_id}/menu/items/sea-bass-moilee/availability`;
  await dabba.call('restaurant', 'PUT', off, { status: 'unavailable' });
  return { tracked: { id: trackedId, token: await link(trackedId) }, refunded, rejected };
}
