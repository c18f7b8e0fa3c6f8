/* eslint-disable svelte/prefer-svelte-reactivity -- no component shows the set */
// Values that views need by id, such as the names of accounts. Each is read once, and few are read at a time.
import { SvelteMap } from 'svelte/reactivity';
import { CONCURRENCY } from './bulk';
import { inTurn } from './turns';

export class Lookup<T> {
  readonly #read: (id: string) => Promise<T>;
  readonly #known = new SvelteMap<string, T>();
  readonly #asked = new Set<string>();
  readonly #queue: string[] = [];
  #running = 0;

  constructor(read: (id: string) => Promise<T>) {
    this.#read = read;
  }

  /** Returns a value if it is known already. */
  of(id: string): T | undefined {
    return this.#known.get(id);
  }

  /** Keeps a value that was read elsewhere. */
  keep(id: string, value: T): void {
    this.#known.set(id, value);
  }

  /** Reads a value unless it is known. A failure leaves it unknown; the next call retries. */
  need(id: string): void {
    if (!this.#known.has(id)) this.again(id);
  }

  /** Reads a value, also if it is known: it may have changed. */
  again(id: string): void {
    if (this.#asked.has(id)) return;
    this.#asked.add(id);
    this.#queue.push(id);
    if (this.#running < CONCURRENCY) void this.#work();
  }

  async #work(): Promise<void> {
    this.#running += 1;
    for (let id = this.#queue.shift(); id !== undefined; id = this.#queue.shift()) {
      try {
        this.#known.set(id, await inTurn(() => this.#read(id)));
      } catch {
        // Views then show what they know without the value.
      } finally {
        this.#asked.delete(id);
      }
    }
    this.#running -= 1;
  }
}
