// The choices that belong to a device, not to an account: they stay when another person signs in.
import { CHOICES } from './commands';

export const TICKET_WIDTHS = ['80', '58'] as const;
export type TicketWidth = (typeof TICKET_WIDTHS)[number];

/** Limits of the volume: a board that rings cannot be silenced for good. */
export const VOLUME = { minimum: 20, maximum: 100, step: 20 } as const;
/** Maximum length of a device's name, in characters. */
export const DEVICE_NAME_LENGTH = 40;

export interface Settings {
  /** Identifies the device. */
  device: string;
  name: string;
  /** Percent. */
  volume: number;
  ticket: TicketWidth;
  printOnAccept: boolean;
  keepAwake: boolean;
  /** Whether single letters are shortcuts. */
  shortcuts: boolean;
  /** The last times until ready that were chosen, in minutes. */
  choices: number[];
}

export function defaultSettings(device: string): Settings {
  return { device, name: '', volume: 80, ticket: '80', printOnAccept: false, keepAwake: true, shortcuts: true, choices: [] };
}

/** Reads kept settings. What is missing or wrong gets its default. */
export function readSettings(text: string | null, device: string): Settings {
  const settings = defaultSettings(device);
  let kept: unknown;
  try {
    kept = JSON.parse(text ?? '');
  } catch {
    return settings;
  }
  if (typeof kept !== 'object' || kept === null) return settings;
  const { device: id, name, volume, ticket, printOnAccept, keepAwake, shortcuts, choices } = kept as Record<string, unknown>;
  if (typeof id === 'string' && /^[0-9a-f-]{36}$/.test(id)) settings.device = id;
  if (typeof name === 'string') settings.name = name.slice(0, DEVICE_NAME_LENGTH);
  if (typeof volume === 'number' && volume >= VOLUME.minimum && volume <= VOLUME.maximum) settings.volume = volume;
  settings.ticket = TICKET_WIDTHS.find((width) => width === ticket) ?? settings.ticket;
  if (typeof printOnAccept === 'boolean') settings.printOnAccept = printOnAccept;
  if (typeof keepAwake === 'boolean') settings.keepAwake = keepAwake;
  if (typeof shortcuts === 'boolean') settings.shortcuts = shortcuts;
  if (Array.isArray(choices)) settings.choices = choices.filter((choice) => Number.isInteger(choice)).slice(-CHOICES);
  return settings;
}
