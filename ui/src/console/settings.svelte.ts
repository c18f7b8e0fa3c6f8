// What a person has chosen for the console in this browser.
import { kept } from '../lib/kept';

const SHORTCUTS = 'dabba.console.shortcuts';
const OFF = 'off';

let shortcuts = $state(kept.get(SHORTCUTS) !== OFF);

export const settings = {
  /** Whether single keys, such as j, are shortcuts. Speech input types words, whose letters would press them. */
  get shortcuts(): boolean {
    return shortcuts;
  },
};

export function chooseShortcuts(on: boolean): void {
  shortcuts = on;
  if (on) kept.delete(SHORTCUTS);
  else kept.set(SHORTCUTS, OFF);
}

/** Follows what other tabs choose. Returns the function that ends this. */
export function startSettings(): () => void {
  const changed = ({ key, newValue }: StorageEvent) => {
    if (key === SHORTCUTS) shortcuts = newValue !== OFF;
  };
  addEventListener('storage', changed);
  return () => removeEventListener('storage', changed);
}
