// The sections of the menu, and the search in them: every word of the query must occur in an item's name, description, tags
// or category.
import type { Menu, MenuItem } from './types';

/** A category of the menu. Its number identifies it, because two categories may have the same name. */
export interface Section {
  number: number;
  name: string;
  items: readonly MenuItem[];
}

/** Returns text for comparison: without case, accents and width. */
export function folded(text: string): string {
  return text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
}

/** Returns the sections with the items that match. A query without words matches everything. */
export function searchMenu(categories: Menu['categories'], query: string): Section[] {
  const words = folded(query).split(/\s+/).filter(Boolean);
  const matches = (item: MenuItem, category: string) => {
    const text = folded([item.name, item.description ?? '', ...item.tags, category].join('\n'));
    return words.every((word) => text.includes(word));
  };
  return categories
    .map(({ name, items }, number) => ({ number, name, items: items.filter((item) => matches(item, name)) }))
    .filter(({ items }) => items.length > 0);
}

/** Id of a section's element. */
export function sectionId({ number }: Pick<Section, 'number'>): string {
  return `category-${number}`;
}
