// Time that passes only when a test says so.
import type { Timers } from '../timers';

interface Alarm {
  at: number;
  action: () => void;
}

export class ManualTimers implements Timers {
  #now = 1_000;
  #wall: number;
  #alarms: Alarm[] = [];

  constructor(wall = Date.parse('2026-11-30T12:00:00Z')) {
    this.#wall = wall;
  }

  monotonic(): number {
    return this.#now;
  }

  wall(): number {
    return this.#wall;
  }

  after(delay: number, action: () => void): () => void {
    const alarm = { at: this.#now + delay, action };
    this.#alarms.push(alarm);
    return () => {
      this.#alarms = this.#alarms.filter((other) => other !== alarm);
    };
  }

  /** Lets time pass, and runs everything that becomes due, in order. */
  async advance(milliseconds: number): Promise<void> {
    await settle();
    const end = this.#now + milliseconds;
    for (;;) {
      const next = this.#alarms.filter((alarm) => alarm.at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#alarms = this.#alarms.filter((alarm) => alarm !== next);
      this.#pass(Math.max(0, next.at - this.#now));
      next.action();
      await settle();
    }
    this.#pass(end - this.#now);
    await settle();
  }

  /** Lets time pass without running anything, as in a suspended tab. What is overdue runs at the next `advance`. */
  suspend(milliseconds: number): void {
    this.#pass(milliseconds);
  }

  /** Changes the device's clock, as its user may. */
  setWall(wall: number): void {
    this.#wall = wall;
  }

  #pass(milliseconds: number): void {
    this.#now += milliseconds;
    this.#wall += milliseconds;
  }
}

/** Lets promises, streams and the storage of the test make all their progress. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 25; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
