// A list that is read page by page.
import { poll } from './polling';

export interface PageOf<T> {
  items: readonly T[];
  next_cursor?: string | undefined;
  incomplete?: boolean | undefined;
}

/** Returns the query of a page; without a cursor, of the first page. */
export function pageQuery(limit: number, cursor: string | undefined): { limit: number; cursor?: string } {
  return cursor === undefined ? { limit } : { limit, cursor };
}

export class Paged<T> {
  items = $state.raw<readonly T[]>([]);
  cursor = $state.raw<string | undefined>();
  loading = $state.raw(true);
  incomplete = $state.raw(false);
  failure = $state.raw<unknown>();
  /** Whether a further page was requested. */
  extended = false;
  readonly #read: (cursor: string | undefined) => Promise<PageOf<T>>;
  #generation = 0;

  constructor(read: (cursor: string | undefined) => Promise<PageOf<T>>) {
    this.#read = read;
  }

  /** Reads the first page. What is shown stays until then. */
  load(): Promise<void> {
    return this.#next(undefined, []);
  }

  /** Reads the first page again, without showing that it loads. */
  refresh(): Promise<void> {
    return this.#next(undefined, [], this.loading);
  }

  /**
   * Reads the first page now and every `interval` milliseconds. A list with further pages stays as it is, because they would
   * disappear. Returns the function that ends this.
   */
  follow(interval: number): () => void {
    return poll(async () => {
      if (!this.extended) await this.refresh();
    }, interval);
  }

  /** Reads the next page. */
  more(): Promise<void> {
    return this.#next(this.cursor, this.items);
  }

  async #next(cursor: string | undefined, before: readonly T[], loading = true): Promise<void> {
    const mine = ++this.#generation;
    this.loading = loading;
    this.extended = cursor !== undefined;
    try {
      const page = await this.#read(cursor);
      if (mine !== this.#generation) return;
      this.items = [...before, ...page.items];
      this.cursor = page.next_cursor;
      this.incomplete = page.incomplete === true;
      this.failure = undefined;
    } catch (failure) {
      if (mine === this.#generation) this.failure = failure;
    } finally {
      if (mine === this.#generation) this.loading = false;
    }
  }
}
