// How an order ended, in words.
import { known } from '../lib/i18n/index.svelte';
import { t } from './text';
import type { BoardOrder } from './types';

/** Returns the status of an order: an end that has a word of its own by that word, else the status. */
export function outcomeOf({ status, closure, fulfilment }: Pick<BoardOrder, 'status' | 'closure' | 'fulfilment'>): string {
  if (closure?.how === 'expired' || closure?.how === 'rejected') return t(`recall.${closure.how}`);
  if (status === 'delivered' && fulfilment.type === 'collection') return t('recall.collected');
  return known('status', status);
}
