// The device's settings, as the components read and change them.
import { uuid } from '../lib/random';
import { CHOICES, suggestMinutes } from './commands';
import { readSettings, type Settings } from './settings';

const KEPT = 'dabba.kitchen';

function read(): Settings {
  const read = readSettings(localStorage.getItem(KEPT), uuid());
  localStorage.setItem(KEPT, JSON.stringify(read));
  return read;
}

let values = $state.raw<Settings>(read());

// Another tab of the device changed them.
addEventListener('storage', (event) => {
  if (event.key === KEPT) values = readSettings(event.newValue, values.device);
});

export const settings = {
  get values(): Settings {
    return values;
  },
  /** Time until ready that a new order suggests, in minutes. */
  get suggestion(): number {
    return suggestMinutes(values.choices);
  },
};

export function changeSettings(change: Partial<Omit<Settings, 'device'>>): void {
  values = { ...values, ...change };
  localStorage.setItem(KEPT, JSON.stringify(values));
}

/** Remembers a chosen time until ready for the next suggestion. */
export function rememberChoice(minutes: number): void {
  changeSettings({ choices: [...values.choices, minutes].slice(-CHOICES) });
}
