// One entry that a view shows, such as an account: read now and from time to time, because other people change it too.
import { ApiError } from '../lib/api';
import { poll } from './polling';

export class Entry<T> {
  value = $state.raw<T>();
  /** Whether nothing has this id. */
  unknown = $state.raw(false);
  /** Why the last read failed. */
  failure = $state.raw<unknown>();
  readonly #read: () => Promise<T>;
  readonly #isHeld: () => boolean;
  readonly #onRead: (value: T, before: T | undefined) => void;
  #generation = 0;

  /**
   * While `isHeld`, nothing replaces the value: an open dialog acts on the version that the person has seen. `onRead` is called
   * with each value that was read, after it is shown, and with the one before.
   */
  constructor(
    read: () => Promise<T>,
    isHeld: () => boolean,
    onRead: (value: T, before: T | undefined) => void = () => undefined,
  ) {
    this.#read = read;
    this.#isHeld = isHeld;
    this.#onRead = onRead;
  }

  async load(): Promise<void> {
    const mine = ++this.#generation;
    try {
      const next = await this.#read();
      // A command may have changed the entry meanwhile, or a dialog is open.
      if (mine !== this.#generation || this.#isHeld()) return;
      const before = this.value;
      this.keep(next);
      this.#onRead(next, before);
    } catch (error) {
      if (mine !== this.#generation || this.#isHeld()) return;
      // A text that is no id is refused with 400, which means the same.
      if (error instanceof ApiError && [400, 404].includes(error.status)) this.unknown = true;
      else this.failure = error;
    }
  }

  /** Shows the answer to a command. A read that is under way is older. */
  keep(value: T): void {
    this.#generation += 1;
    this.value = value;
    this.failure = undefined;
  }

  /** Reads the entry again, unless a dialog holds it. */
  async refresh(): Promise<void> {
    if (!this.#isHeld()) await this.load();
  }

  /** Reads the entry now and every `interval` milliseconds. Returns the function that ends this. */
  follow(interval: number): () => void {
    return poll(() => this.refresh(), interval);
  }
}
