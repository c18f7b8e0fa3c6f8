// The server's time for what the views show, updated often enough for countdowns in minutes.
import { clock } from '../lib/clock';

/** Interval in milliseconds. */
const INTERVAL = 5_000;

let now = $state(clock.now());

export const ticker = {
  get now(): number {
    return now;
  },
};

/** Starts the ticker. Returns the function that stops it. */
export function startTicker(): () => void {
  now = clock.now();
  const timer = setInterval(() => (now = clock.now()), INTERVAL);
  return () => clearInterval(timer);
}
