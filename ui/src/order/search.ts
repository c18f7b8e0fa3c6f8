// The search in the menu: every word of the query must occur in an item's name, description, tags or category.
import type { Menu } from './types';

/** Returns text for comparison: without case, accents and width. */
export function folded(text: string): string {
  return text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
}

/** Returns the categories with the items that match. A query without words matches everything. */
export function searchMenu(categories: Menu['categories'], query: string): Menu['categories'] {
  const words = folded(query).split(/\s+/).filter(Boolean);
  if (words.length === 0) return categories;
  return categories
    .map((category) => ({
      ...category,
      items: category.items.filter((item) => {
        const text = folded([item.name, item.description ?? '', ...item.tags, category.name].join('\n'));
        return words.every((word) => text.includes(word));
      }),
    }))
    .filter((category) => category.items.length > 0);
}
