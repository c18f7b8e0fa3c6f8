// The appearance: light, dark, or as the device. The choice is an attribute of the root element, which `theme.css` reads.
import { kept } from './kept';

const CHOICE = 'dabba.theme';
export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

let choice = $state<Theme>('system');

export const theme = {
  get choice(): Theme {
    return choice;
  },
};

/** Applies the kept choice. Call it before the page is shown. */
export function startTheme(): void {
  const chosen = kept.get(CHOICE);
  apply(THEMES.find((known) => known === chosen) ?? 'system');
}

/** Changes the appearance and remembers the choice. */
export function chooseTheme(next: Theme): void {
  kept.set(CHOICE, next);
  apply(next);
}

function apply(next: Theme): void {
  choice = next;
  if (next === 'system') document.documentElement.removeAttribute('data-theme');
  else document.documentElement.setAttribute('data-theme', next);
}
