// What the views know of restaurants: names and time zones, each read once.
import { api, unwrap, type Restaurant } from '../lib/api';
import { deviceZone } from '../lib/format';
import { Lookup } from './lookup.svelte';
import { readAll, type WholeList } from './read-all';

/** The reading of the list that is under way. */
let listing: Promise<unknown> | undefined;
/** Whether the whole list was read: it names none of the unknown restaurants. */
let listed = false;

const known: Lookup<Restaurant> = new Lookup<Restaurant>(async (id) => {
  // A page of the list names a hundred restaurants.
  await listing;
  return known.of(id) ?? unwrap(api.GET('/v1/restaurants/{restaurant_id}', { params: { path: { restaurant_id: id } } }));
});

/** Keeps what was read elsewhere. */
export function keepRestaurants(restaurants: readonly Restaurant[]): void {
  for (const restaurant of restaurants) known.keep(restaurant.id, restaurant);
}

/** Returns a restaurant if it is known already. */
export function restaurantOf(id: string): Restaurant | undefined {
  return known.of(id);
}

/** Number of unknown restaurants from which the list is read instead of each of them. */
export const MANY = 5;

/** Reads restaurants unless they are known. Until a restaurant is known, its times appear in the device's zone. */
export function needRestaurants(ids: Iterable<string>): void {
  const unknown = [...ids].filter((id) => known.of(id) === undefined);
  // The views show what they can without the restaurants, so nobody waits for the list.
  if (unknown.length >= MANY && !listed && listing === undefined) readRestaurants().catch(() => undefined);
  for (const id of unknown) known.need(id);
}

const PAGE = 100;

/** Reads the restaurants that a form offers. */
export function readRestaurants(query: { closed?: boolean } = {}): Promise<WholeList<Restaurant>> {
  const list = readAll(async (page) => {
    const params = { query: { limit: PAGE, ...query, ...page } };
    const { restaurants: items, ...rest } = await unwrap(api.GET('/v1/restaurants', { params }));
    keepRestaurants(items);
    return { items, ...rest };
  });
  const reading = list
    .then(() => (listed ||= query.closed === undefined))
    .catch(() => undefined)
    .finally(() => {
      if (listing === reading) listing = undefined;
    });
  listing = reading;
  return list;
}

/** The restaurant's zone; the device's as long as the restaurant is unknown. */
export function zoneOf(restaurant: string | undefined): string {
  return (restaurant === undefined ? undefined : known.of(restaurant)?.time_zone) ?? deviceZone();
}
