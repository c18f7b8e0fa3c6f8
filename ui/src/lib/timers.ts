// Time as a parameter, so that tests decide how it passes.

export interface Timers {
  /** Milliseconds of a clock that never goes back. Only differences have a meaning. */
  monotonic(): number;
  /** Milliseconds since 1970 by the device's clock, which may be wrong. */
  wall(): number;
  /** Calls `action` after `delay` milliseconds. Returns the function that prevents this. */
  after(delay: number, action: () => void): () => void;
}

export const browserTimers: Timers = {
  monotonic: () => performance.now(),
  wall: () => Date.now(),
  after(delay, action) {
    const id = setTimeout(action, delay);
    return () => clearTimeout(id);
  },
};
