// The items of the menu as the board lists them. The board itself names only those that are unavailable or limited.
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

/** Returns the items whose name contains a text. */
export function findItems(items: readonly BoardItem[], search: string): BoardItem[] {
  const text = search.trim().toLocaleLowerCase();
  return text === '' ? [...items] : items.filter((item) => item.name.toLocaleLowerCase().includes(text));
}
