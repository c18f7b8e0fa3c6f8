// Reads again from time to time what no stream reports.
import { untrack } from 'svelte';

/**
 * Calls `read` now and every `interval` milliseconds, and when the page becomes visible after an interval. A page that nobody
 * sees reads nothing. An effect that calls it does not depend on what `read` reads. Returns the function that ends this.
 */
export function poll(read: () => Promise<unknown>, interval: number): () => void {
  let last = Number.NEGATIVE_INFINITY;
  let reading = false;
  const run = () => {
    if (reading || document.visibilityState !== 'visible') return;
    last = performance.now();
    reading = true;
    void untrack(read).finally(() => (reading = false));
  };
  const visible = () => {
    if (performance.now() - last >= interval) run();
  };
  run();
  const timer = setInterval(run, interval);
  document.addEventListener('visibilitychange', visible);
  return () => {
    clearInterval(timer);
    document.removeEventListener('visibilitychange', visible);
  };
}
