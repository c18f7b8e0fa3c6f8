// Which restaurants a list shows. The API selects by the permanent closing; the rest is selected here.
import type { Restaurant } from '../../lib/api';
import type { PageOf } from '../paged.svelte';

export const SHOWN = ['open', 'paused', 'unattended', 'closed', 'all'] as const;
export type Shown = (typeof SHOWN)[number];

/** Number of restaurants per request. */
const PAGE = 50;
/** Number of restaurants per request, and maximum number of requests, while restaurants are selected here. */
const SCAN_PAGE = 100;
export const MAXIMUM_SCANS = 10;

type Wanted = Pick<Restaurant, 'pause' | 'unattended_since'>;

/** Whether a list shows a restaurant that the API has selected. */
export function isShown(shown: Shown, restaurant: Wanted): boolean {
  if (shown === 'paused') return restaurant.pause !== undefined;
  return shown !== 'unattended' || restaurant.unattended_since !== undefined;
}

export interface RestaurantQuery {
  limit: number;
  closed?: boolean;
  cursor?: string;
}

interface RestaurantPage {
  restaurants: readonly Restaurant[];
  next_cursor?: string | undefined;
  incomplete?: boolean | undefined;
}

/**
 * Reads a page of the restaurants that a list shows. A selection that is made here reads on until it has found something, at
 * most `MAXIMUM_SCANS` times; the cursor then leads on.
 */
export async function readShown(
  shown: Shown,
  read: (query: RestaurantQuery) => Promise<RestaurantPage>,
  cursor?: string,
): Promise<PageOf<Restaurant>> {
  const selected = shown === 'paused' || shown === 'unattended';
  const items: Restaurant[] = [];
  let next = cursor;
  let incomplete = false;
  for (let scan = 0; scan < MAXIMUM_SCANS; scan += 1) {
    const page = await read({
      limit: selected ? SCAN_PAGE : PAGE,
      ...(shown === 'all' ? {} : { closed: shown === 'closed' }),
      ...(next === undefined ? {} : { cursor: next }),
    });
    items.push(...page.restaurants.filter((restaurant) => isShown(shown, restaurant)));
    incomplete ||= page.incomplete === true;
    next = page.next_cursor;
    if (next === undefined || !selected || items.length >= PAGE) break;
  }
  return { items, next_cursor: next, incomplete };
}
