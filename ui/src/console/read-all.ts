// Lists that a view needs as a whole, such as the choices of a form.
import type { PageOf } from './paged.svelte';

/** Maximum number of entries that a form offers. */
export const MAXIMUM_CHOICES = 1_000;

export interface WholeList<T> {
  items: T[];
  /** Whether the list has further entries, which were not read. */
  more: boolean;
  incomplete: boolean;
}

/** Reads a list page by page, until its end or until it has `maximum` entries. */
export async function readAll<T>(
  read: (page: { cursor?: string }) => Promise<PageOf<T>>,
  maximum: number = MAXIMUM_CHOICES,
): Promise<WholeList<T>> {
  const items: T[] = [];
  let cursor: string | undefined;
  let incomplete = false;
  do {
    const page = await read(cursor === undefined ? {} : { cursor });
    items.push(...page.items);
    incomplete ||= page.incomplete === true;
    cursor = page.next_cursor;
  } while (cursor !== undefined && items.length < maximum);
  return { items, more: cursor !== undefined, incomplete };
}
