// What keeps from ordering, in words.
import { isolate } from '../lib/bidi';
import { dateTime, money, time } from '../lib/format';
import { t } from './text';
import type { Obstacle } from './types';

interface ObstacleContext {
  zone: string;
  currency: string;
  subtotal: number;
  now: number;
  nameOf: (item: string) => string;
}

/** Returns a moment as briefly as it is clear: the time of day within 12 hours, otherwise with the date. */
export function moment(at: string, zone: string, now: number): string {
  const near = Math.abs(Date.parse(at) - now) < 12 * 3_600_000;
  return near ? time(at, zone) : dateTime(at, zone);
}

/** Returns the sentences about an obstacle. An obstacle that this build does not know speaks for itself. */
export function obstacleTexts(obstacle: Obstacle, context: ObstacleContext): string[] {
  const { zone, now } = context;
  const name = (item: string) => isolate(context.nameOf(item));
  const amount = (value: number) => money(value, context.currency);
  switch (obstacle.code) {
    case 'restaurant_closed':
    case 'restaurant_paused': {
      const { code, opens_at, until } = obstacle;
      const end = opens_at ?? until;
      return [end === undefined ? t(`obstacle.${code}`) : t(`obstacle.${code}_until`, { time: moment(end, zone, now) })];
    }
    case 'restaurant_closed_permanently':
      return [t('obstacle.restaurant_closed_permanently')];
    case 'below_minimum_order': {
      const minimum = obstacle.minimum ?? 0;
      return [
        t('obstacle.below_minimum_order', { minimum: amount(minimum), missing: amount(minimum - context.subtotal) }),
      ];
    }
    case 'items_unavailable':
    case 'items_outside_hours':
      return (obstacle.items ?? []).map(({ item, until }) =>
        until === undefined
          ? t('obstacle.items_unavailable', { items: name(item) })
          : t('obstacle.items_unavailable_until', { items: name(item), time: moment(until, zone, now) }),
      );
    case 'out_of_stock':
      return (obstacle.shortages ?? []).map(({ item, available }) =>
        available === 0
          ? t('obstacle.sold_out', { item: name(item) })
          : t('obstacle.out_of_stock', { item: name(item), available }),
      );
    case 'not_payable_by_card':
      return [t(obstacle.amount === undefined ? 'obstacle.no_card' : 'obstacle.card_range')];
    default:
      return [obstacle.detail];
  }
}

/** Returns the sentences about all obstacles, each once. */
export function allObstacleTexts(obstacles: readonly Obstacle[], context: ObstacleContext): string[] {
  return [...new Set(obstacles.flatMap((obstacle) => obstacleTexts(obstacle, context)))];
}
