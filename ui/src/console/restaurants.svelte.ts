// What the views know of restaurants: names and time zones, each read once.
import { api, unwrap, type Restaurant } from '../lib/api';
import { deviceZone } from '../lib/format';
import { Lookup } from './lookup.svelte';
import { readAll, type WholeList } from './read-all';

const known = new Lookup<Restaurant>((id) =>
  unwrap(api.GET('/v1/restaurants/{restaurant_id}', { params: { path: { restaurant_id: id } } })),
);

/** Keeps what was read elsewhere. */
export function keepRestaurants(restaurants: readonly Restaurant[]): void {
  for (const restaurant of restaurants) known.keep(restaurant.id, restaurant);
}

/** Returns a restaurant if it is known already. */
export function restaurantOf(id: string): Restaurant | undefined {
  return known.of(id);
}

/** Reads a restaurant unless it is known. Until it is known, its times appear in the device's zone. */
export function needRestaurant(id: string): void {
  known.need(id);
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
  return (restaurant === undefined ? undefined : known.of(restaurant)?.time_zone) ?? deviceZone();
}
