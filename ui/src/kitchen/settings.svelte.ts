// The device's settings, as the components read and change them.
import { deviceOf } from '../lib/device';
import { kept } from '../lib/kept';
import { uuid } from '../lib/random';
import { CHOICES, suggestMinutes } from './commands';
import { DEVICE_NAME_LENGTH, readSettings, type Settings } from './settings';
import { t } from './text';

const KEPT = 'dabba.kitchen';

function read(): Settings {
  const read = readSettings(kept.get(KEPT), uuid());
  kept.set(KEPT, JSON.stringify(read));
  return read;
}

let values = $state.raw<Settings>(read());

// Another tab of the device changed them.
addEventListener('storage', (event: StorageEvent) => {
  if (event.key === KEPT) values = readSettings(event.newValue, values.device);
});

export const settings = {
  get values(): Settings {
    return values;
  },
  /** Name of the device for other people. Until a person gives it one, browser and system; empty if they are unknown. */
  get deviceName(): string {
    return values.name === '' ? suggestedName() : values.name;
  },
  /** Time until ready that a new order suggests, in minutes. */
  get suggestion(): number {
    return suggestMinutes(values.choices);
  },
};

function suggestedName(): string {
  const { browser, system } = deviceOf(navigator.userAgent);
  const name = browser !== undefined && system !== undefined ? t('settings.device_of', { browser, system }) : (browser ?? system ?? '');
  return name.slice(0, DEVICE_NAME_LENGTH);
}

/** Names the device. The suggested name and an empty one are not kept, so that the suggestion follows the language. */
export function nameDevice(name: string): void {
  const given = name.trim();
  changeSettings({ name: given === suggestedName() ? '' : given });
}

export function changeSettings(change: Partial<Omit<Settings, 'device'>>): void {
  values = { ...values, ...change };
  kept.set(KEPT, JSON.stringify(values));
}

/** Remembers a chosen time until ready for the next suggestion. */
export function rememberChoice(minutes: number): void {
  changeSettings({ choices: [...values.choices, minutes].slice(-CHOICES) });
}
