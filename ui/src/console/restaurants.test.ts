import { afterEach, beforeEach, expect, it, vi } from 'vitest';

const NAMES = Array.from({ length: 6 }, (_, index) => `restaurant-${index}`);
/** Addresses that the module requested. */
const requests: string[] = [];
let listFails = false;

function answer(path: string): unknown {
  const named = (id: string) => ({ id, name: id, time_zone: 'Asia/Kolkata' });
  if (path.startsWith('/v1/restaurants?')) return { restaurants: NAMES.slice(0, 5).map(named) };
  return named(path.split('/').at(-1) ?? '');
}

beforeEach(() => {
  // The module remembers what it has read.
  vi.resetModules();
  requests.length = 0;
  listFails = false;
  vi.stubGlobal('location', { origin: 'http://dabba' });
  vi.stubGlobal('fetch', async (request: Request) => {
    const url = new URL(request.url);
    const path = url.pathname + url.search;
    requests.push(path);
    if (listFails && url.search !== '') return Response.json({}, { status: 503 });
    return Response.json(answer(path));
  });
});
afterEach(() => vi.unstubAllGlobals());

it('reads many restaurants as a list, and only those that the list does not name one by one', async () => {
  const { needRestaurants, restaurantOf } = await import('./restaurants.svelte');
  needRestaurants(NAMES);
  needRestaurants(NAMES);
  await vi.waitUntil(() => NAMES.every((id) => restaurantOf(id) !== undefined));
  expect(requests).toEqual(['/v1/restaurants?limit=100', '/v1/restaurants/restaurant-5']);
});

it('reads few restaurants one by one, and none twice', async () => {
  const { needRestaurants, restaurantOf } = await import('./restaurants.svelte');
  needRestaurants(['restaurant-0', 'restaurant-0', 'restaurant-1']);
  await vi.waitUntil(() => restaurantOf('restaurant-1') !== undefined);
  needRestaurants(['restaurant-0', 'restaurant-1']);
  expect(requests).toEqual(['/v1/restaurants/restaurant-0', '/v1/restaurants/restaurant-1']);
});

it('waits for a list that a form reads', async () => {
  const { needRestaurants, readRestaurants, restaurantOf } = await import('./restaurants.svelte');
  const list = readRestaurants();
  needRestaurants(['restaurant-0']);
  await list;
  await vi.waitUntil(() => restaurantOf('restaurant-0') !== undefined);
  expect(requests).toEqual(['/v1/restaurants?limit=100']);
});

it('reads the restaurants one by one if the list cannot be read', async () => {
  listFails = true;
  const { needRestaurants, restaurantOf } = await import('./restaurants.svelte');
  needRestaurants(NAMES);
  await vi.waitUntil(() => NAMES.every((id) => restaurantOf(id) !== undefined));
  expect(requests.slice(1).sort()).toEqual(NAMES.map((id) => `/v1/restaurants/${id}`));
});
