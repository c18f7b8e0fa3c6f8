// The items of the menu as the board lists them. The board itself names only those that are unavailable or limited.
import type { Entry } from '../lib/outbox';
import type { BoardItem } from './types';

interface Menu {
  categories: { items: { id: string; name: string }[] }[];
}

/** Returns every item of the menu in its order, with what the board knows of it; without a menu, what the board knows. */
export function listItems(menu: Menu | undefined, known: ReadonlyMap<string, BoardItem>): BoardItem[] {
  if (menu === undefined) return [...known.values()];
  return menu.categories
    .flatMap((category) => category.items)
    .map(({ id, name }) => ({ item: id, available: true, ...known.get(id), name }));
}

/** A command as the outbox has it, or will have it. */
type Given = Pick<Entry, 'group' | 'body'> & Partial<Pick<Entry, 'state'>>;

/** Returns the stock that an item has once the server has carried out the given commands; `undefined` if it is not limited. */
export function stockAfter(remaining: number | undefined, group: string, commands: readonly Given[]): number | undefined {
  for (const { group: of, state, body } of commands) {
    if (of !== group || state === 'refused') continue;
    const { by, remaining: limit } = body as { by?: number; remaining?: number | null };
    remaining = by === undefined ? (limit ?? undefined) : (remaining ?? 0) + by;
  }
  return remaining;
}

/** Returns the items whose name contains a text. */
export function findItems(items: readonly BoardItem[], search: string): BoardItem[] {
  const text = search.trim().toLocaleLowerCase();
  return text === '' ? [...items] : items.filter((item) => item.name.toLocaleLowerCase().includes(text));
}
