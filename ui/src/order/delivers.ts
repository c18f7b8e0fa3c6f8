// Whether a customer of this page can have the food delivered.
import type { Restaurant } from './types';

/**
 * Returns whether this page takes orders for delivery from the restaurant. A restaurant with delivery zones, or with a fee by the
 * distance, needs the coordinates of the address, which this page does not ask for.
 */
export function deliversHere(restaurant: Pick<Restaurant, 'delivers' | 'zones' | 'fees'> | undefined): boolean {
  if (restaurant === undefined) return true;
  const { delivers, zones = [], fees = [] } = restaurant;
  return delivers && zones.length === 0 && fees.every(({ tiers = [] }) => tiers.length === 0);
}
