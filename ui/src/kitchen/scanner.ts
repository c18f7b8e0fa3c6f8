// Distinguishes the keys of a person from those of a scanner. A scanner types a whole code within milliseconds and then
// presses Enter. Its letters must not be shortcuts, and its Enter must not press the button that happens to have the focus.
import { browserTimers, type Timers } from '../lib/timers';

/** Maximum time between two keys of a scanner, in milliseconds. People are slower. */
export const SCANNER_GAP = 50;
/** Minimum length of a scan. */
export const MINIMUM_SCAN = 3;
/** Maximum length of a scan that is kept. */
const MAXIMUM_SCAN = 128;

export interface KeyGateOptions {
  /** Called with a key that a person pressed. */
  onKey: (key: string) => void;
  /** Called with the text of a scan. */
  onScan: (text: string) => void;
  timers?: Timers;
}

export class KeyGate {
  readonly #options: KeyGateOptions;
  readonly #timers: Timers;
  #text = '';
  #last = Number.NEGATIVE_INFINITY;
  #cancel: (() => void) | undefined;

  constructor(options: KeyGateOptions) {
    this.#options = options;
    this.#timers = options.timers ?? browserTimers;
  }

  /** Takes a printable key, pressed at a monotonic time. It is a shortcut if no other key follows at a scanner's pace. */
  character(key: string, now = this.#timers.monotonic()): void {
    this.#text = now - this.#last <= SCANNER_GAP ? (this.#text + key).slice(-MAXIMUM_SCAN) : key;
    this.#last = now;
    this.#cancel?.();
    this.#cancel = this.#timers.after(SCANNER_GAP + 10, () => {
      const text = this.#text;
      this.#text = '';
      if (text.length === 1) this.#options.onKey(text);
    });
  }

  /** Takes an Enter. Returns whether it ends a scan, so that it must not press anything. */
  enter(now = this.#timers.monotonic()): boolean {
    const scanned = this.#text !== '' && now - this.#last <= SCANNER_GAP * 2;
    if (!scanned) return false;
    this.#cancel?.();
    const text = this.#text;
    this.#text = '';
    if (text.length >= MINIMUM_SCAN) this.#options.onScan(text);
    return true;
  }

  close(): void {
    this.#cancel?.();
  }
}
