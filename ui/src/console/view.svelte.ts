// What the current view is called: the title of the page, and what a screen reader says after a navigation that leaves the
// focus where it is.
import { router } from './router.svelte';
import { t } from './text';

let entry = $state.raw<{ id: string; name: string }>();

/** Names the entry that a view shows; `undefined` as long as its name is unknown. */
export function nameEntry(id: string, name: string | undefined): void {
  entry = name === undefined ? undefined : { id, name };
}

/** Whether the name of the entry that the view shows is known. */
export function isNamed(): boolean {
  return entry !== undefined && entry.id === router.route.id;
}

/** Name of the current view: of its entry, if it shows one whose name is known, and of the list. */
export function viewName(): string {
  const { section, id, query } = router.route;
  const list = section === 'orders' && (query.get('q') ?? '') !== '' ? t('search.results') : t(`nav.${section}`);
  return entry !== undefined && entry.id === id ? `${entry.name} – ${list}` : list;
}
