// Whether a customer of this page can have the food delivered.
import type { Restaurant } from './types';

/**
 * Returns whether this page takes orders for delivery from the restaurant. A restaurant with delivery zones needs the coordinates of the
 * address, which this page does not ask for.
 */
export function deliversHere(restaurant: Pick<Restaurant, 'delivers' | 'zones'> | undefined): boolean {
  return restaurant === undefined || (restaurant.delivers && (restaurant.zones ?? []).length === 0);
}
