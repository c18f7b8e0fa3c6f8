// The server's time, whatever the device's clock says.
//
// Every message with the server's time is an observation: the server's time minus the monotonic time of its arrival. An
// observation is too low by the time that the message was under way, so the highest of the last minute is the best one.
// A device that slept, and a server whose clock advanced, raise it at once; a clock that went back counts after a minute.
import { browserTimers, type Timers } from './timers';

/** Duration for which an observation counts, in milliseconds. */
export const OBSERVATION_LIFETIME = 60_000;
/** Maximum number of observations that are kept. */
const MAXIMUM_OBSERVATIONS = 64;

interface Observation {
  offset: number;
  at: number;
}

export class ServerClock {
  readonly #timers: Timers;
  #observations: Observation[] = [];

  constructor(timers: Timers = browserTimers) {
    this.#timers = timers;
  }

  /** Records the server's time of a message that has just arrived. Text that is no time is ignored. */
  observe(now: string): void {
    const time = Date.parse(now);
    if (Number.isNaN(time)) return;
    const at = this.#timers.monotonic();
    const recent = this.#observations.filter((earlier) => at - earlier.at < OBSERVATION_LIFETIME);
    recent.push({ offset: time - at, at });
    this.#observations = recent.slice(-MAXIMUM_OBSERVATIONS);
  }

  /** Whether the server's time is known. Until then, `now` is the device's time. */
  get synchronized(): boolean {
    return this.#observations.length > 0;
  }

  /** The server's time in milliseconds since 1970. */
  now(): number {
    if (this.#observations.length === 0) return this.#timers.wall();
    return this.#timers.monotonic() + Math.max(...this.#observations.map((observation) => observation.offset));
  }

  /** Milliseconds until a time of the server; negative after it. */
  until(time: string): number {
    return Date.parse(time) - this.now();
  }
}

/** The page's clock. */
export const clock = new ServerClock();
