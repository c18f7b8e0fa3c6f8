// The server's time as state, for sentences that depend on it. Countdowns need their own, faster clock.
import { clock } from './clock';

/** Interval of the updates, in milliseconds. */
export const TICK = 5_000;

/** Returns the server's time, updated every few seconds while the component lives. Call it while a component starts. */
export function useNow(): { readonly current: number } {
  let now = $state(clock.now());
  $effect(() => {
    const timer = setInterval(() => (now = clock.now()), TICK);
    return () => clearInterval(timer);
  });
  return {
    get current() {
      return now;
    },
  };
}
