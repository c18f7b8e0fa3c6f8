// The cart of an order that was placed, for ordering it again. The ordering page keeps it when it empties the cart; the
// tracking page keeps it on the device on which a person follows its link back.
import { kept } from './kept';

interface Line {
  item: string;
  quantity: number;
  note?: string | null;
  options?: readonly { group: string; option: string; quantity?: number | null }[] | null;
}

export interface Again {
  order: string;
  /** Unknown, because another version of the pages may have written it: `cartOf` reads it. */
  lines: unknown;
}

const FRAGMENT = '#again=';
const storageKey = (restaurant: string) => `dabba.order.again.${restaurant}`;

/** Keeps the lines of an order. The browser keeps one order per restaurant: the latest. */
export function keepAgain(restaurant: string, order: string, lines: readonly Line[]): void {
  const selections = lines.map(({ item, quantity, note, options }) => ({
    item,
    quantity,
    note: note ?? '',
    options: (options ?? []).map(({ group, option, quantity }) => ({ group, option, ...(typeof quantity === 'number' && { quantity }) })),
  }));
  kept.set(storageKey(restaurant), JSON.stringify({ order, lines: selections } satisfies Again));
}

export function keptAgain(restaurant: string): Again | undefined {
  try {
    const data = JSON.parse(kept.get(storageKey(restaurant)) ?? 'null') as Partial<Again> | null;
    return typeof data?.order === 'string' ? { order: data.order, lines: data.lines } : undefined;
  } catch {
    return undefined;
  }
}

export function forgetAgain(restaurant: string): void {
  kept.delete(storageKey(restaurant));
}

/** Address of the ordering page, which fills its cart with the kept lines of this order. */
export function againAddress(restaurant: string, order: string): string {
  return `/order/${restaurant}${FRAGMENT}${order}`;
}

/** Returns the order that the fragment of such an address names. */
export function againOrder(fragment: string): string | undefined {
  return fragment.startsWith(FRAGMENT) ? fragment.slice(FRAGMENT.length) : undefined;
}
