/* eslint-disable svelte/prefer-svelte-reactivity -- no component shows these sets and maps */
// What the views know of restaurants: names and time zones, each read once.
import { SvelteMap } from 'svelte/reactivity';
import { api, unwrap, type Restaurant } from '../lib/api';
import { deviceZone } from '../lib/format';
import { readAll, type WholeList } from './read-all';

const known = new SvelteMap<string, Restaurant>();
const asked = new Set<string>();

/** Keeps what was read elsewhere. */
export function keepRestaurants(restaurants: readonly Restaurant[]): void {
  for (const restaurant of restaurants) known.set(restaurant.id, restaurant);
}

/** Returns a restaurant if it is known already. */
export function restaurantOf(id: string): Restaurant | undefined {
  return known.get(id);
}

/** Reads a restaurant unless it is known. A failure leaves it unknown; the next call tries again. */
export async function needRestaurant(id: string): Promise<void> {
  if (known.has(id) || asked.has(id)) return;
  asked.add(id);
  try {
    const params = { path: { restaurant_id: id } };
    known.set(id, await unwrap(api.GET('/v1/restaurants/{restaurant_id}', { params })));
  } catch {
    // Times then appear in the device's zone.
  } finally {
    asked.delete(id);
  }
}

const PAGE = 100;

/** Reads the restaurants that a form offers. */
export async function readRestaurants(query: { closed?: boolean } = {}): Promise<WholeList<Restaurant>> {
  const list = await readAll(async (page) => {
    const params = { query: { limit: PAGE, ...query, ...page } };
    const { restaurants: items, ...rest } = await unwrap(api.GET('/v1/restaurants', { params }));
    return { items, ...rest };
  });
  keepRestaurants(list.items);
  return list;
}

/** The restaurant's zone; the device's as long as the restaurant is unknown. */
export function zoneOf(restaurant: string | undefined): string {
  return (restaurant === undefined ? undefined : known.get(restaurant)?.time_zone) ?? deviceZone();
}
