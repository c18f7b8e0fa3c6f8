// What the page says first: one sentence about where the order is, and one about what comes next.
import type { TrackedOrder } from '../lib/api/contract';
import { closureTitle, type ClosureTitle } from './closure';
import { endedEarly } from './steps';

export type HeadlineKey =
  | 'headline.created'
  | 'headline.confirmed'
  | 'headline.preparing'
  | 'headline.ready'
  | 'headline.ready_to_collect'
  | 'headline.out_for_delivery'
  | 'headline.delivered'
  | 'headline.collected'
  | 'headline.unknown'
  | ClosureTitle;

export type NextKey =
  | 'next.created'
  | 'next.confirmed'
  | 'next.confirmed_late'
  | 'next.preparing'
  | 'next.ready'
  | 'next.ready_to_collect'
  | 'next.out_for_delivery'
  | 'next.delivered';

export type Tone = 'waiting' | 'active' | 'good' | 'ended';

export interface Headline {
  key: HeadlineKey;
  next: NextKey | undefined;
  tone: Tone;
}

/** Returns the headline of an order at the server's time `now` (milliseconds since 1970). */
export function headlineOf(order: TrackedOrder, now: number): Headline {
  const collection = order.fulfilment.type === 'collection';
  if (endedEarly(order)) return { key: closureTitle(order), next: undefined, tone: 'ended' };
  switch (order.status) {
    case 'created':
      return { key: 'headline.created', next: 'next.created', tone: 'waiting' };
    case 'confirmed': {
      const late = order.acceptance_deadline === undefined || Date.parse(order.acceptance_deadline) <= now;
      return { key: 'headline.confirmed', next: late ? 'next.confirmed_late' : 'next.confirmed', tone: 'waiting' };
    }
    case 'preparing':
      return { key: 'headline.preparing', next: 'next.preparing', tone: 'active' };
    case 'ready_for_pickup':
      return collection
        ? { key: 'headline.ready_to_collect', next: 'next.ready_to_collect', tone: 'good' }
        : { key: 'headline.ready', next: 'next.ready', tone: 'active' };
    case 'out_for_delivery':
      return { key: 'headline.out_for_delivery', next: 'next.out_for_delivery', tone: 'active' };
    case 'delivered':
    case 'refunded':
      return { key: collection ? 'headline.collected' : 'headline.delivered', next: 'next.delivered', tone: 'good' };
    default:
      // A newer server's status: its own word is better than a wrong sentence.
      return { key: 'headline.unknown', next: undefined, tone: 'active' };
  }
}
