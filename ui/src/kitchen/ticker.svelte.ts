// The server's time, second by second, for everything on the page that counts.
import { clock } from '../lib/clock';
import { untilNextSecond } from './countdown';

let now = $state(clock.now());
let timer: ReturnType<typeof setTimeout> | undefined;

export const ticker = {
  /** The server's time in milliseconds, at the last full second. */
  get now(): number {
    return now;
  },
};

function tick(): void {
  now = clock.now();
  timer = setTimeout(tick, untilNextSecond(now));
}

export function startTicker(): () => void {
  clearTimeout(timer);
  tick();
  return () => clearTimeout(timer);
}
