import { expect, it } from 'vitest';
import type { Restaurant } from '../../lib/api';
import { isShown, MAXIMUM_SCANS, readShown, type RestaurantQuery } from './filter';

const restaurant = (id: string, changes: Partial<Restaurant> = {}) => ({ id, ...changes }) as Restaurant;

function pages(count: number, of: (page: number) => Restaurant[]) {
  const queries: RestaurantQuery[] = [];
  const read = (query: RestaurantQuery) => {
    queries.push(query);
    const page = query.cursor === undefined ? 0 : Number(query.cursor);
    const next = page + 1 < count ? { next_cursor: String(page + 1) } : {};
    return Promise.resolve({ restaurants: of(page), ...next });
  };
  return { queries, read };
}

it('the API selects by the permanent closing', async () => {
  for (const [shown, closed] of [['open', false], ['closed', true], ['all', undefined]] as const) {
    const { queries, read } = pages(2, () => [restaurant('r')]);
    const page = await readShown(shown, read);
    expect(queries.map((query) => query.closed)).toEqual([closed]);
    expect(page.next_cursor).toBe('1');
  }
});

it('unattended restaurants are selected from as many pages as it takes', async () => {
  const { queries, read } = pages(4, (page) => [
    restaurant(`attended ${page}`),
    ...(page === 2 ? [restaurant('empty kitchen', { unattended_since: '2026-11-30T14:02:00Z' })] : []),
  ]);
  const page = await readShown('unattended', read);
  expect(page.items.map((entry) => entry.id)).toEqual(['empty kitchen']);
  expect(page.next_cursor).toBeUndefined();
  expect(queries).toHaveLength(4);
});

it('a selection that finds nothing stops after its bound, and goes on from there', async () => {
  const { queries, read } = pages(25, () => [restaurant('r')]);
  const page = await readShown('paused', read);
  expect(page).toEqual({ items: [], next_cursor: String(MAXIMUM_SCANS), incomplete: false });
  await readShown('paused', read, page.next_cursor);
  expect(queries[MAXIMUM_SCANS]?.cursor).toBe(String(MAXIMUM_SCANS));
});

it('a page that lacks a shard makes the whole selection incomplete', async () => {
  const read = (query: RestaurantQuery) =>
    Promise.resolve(
      query.cursor === undefined
        ? { restaurants: [], next_cursor: 'x', incomplete: true }
        : { restaurants: [restaurant('p', { pause: {} })] },
    );
  expect(await readShown('paused', read)).toMatchObject({ incomplete: true, items: [{ id: 'p' }] });
  expect(isShown('open', {})).toBe(true);
});
