// Small texts that the browser keeps for this origin or for this tab.
//
// A browser that blocks cookies refuses its storage too, and a full storage refuses to keep more. Then a text is kept as long
// as the page lives: pages that need no session, such as the tracking page, work without cookies.

export class Kept {
  readonly #area: () => Storage;
  readonly #instead = new Map<string, string>();

  /** `area` is a function, because even the name of a blocked storage throws. */
  constructor(area: () => Storage) {
    this.#area = area;
  }

  get(key: string): string | null {
    const instead = this.#instead.get(key);
    if (instead !== undefined) return instead;
    try {
      return this.#area().getItem(key);
    } catch {
      return null;
    }
  }

  set(key: string, text: string): void {
    try {
      this.#area().setItem(key, text);
      this.#instead.delete(key);
    } catch {
      this.#instead.set(key, text);
    }
  }

  delete(key: string): void {
    this.#instead.delete(key);
    try {
      this.#area().removeItem(key);
    } catch {
      // There is nothing to delete.
    }
  }

  /** Deletes every text whose key begins with `prefix`. */
  deleteAll(prefix: string): void {
    const keys = [...this.#instead.keys()];
    try {
      const area = this.#area();
      for (let index = 0; index < area.length; index += 1) keys.push(area.key(index) ?? '');
    } catch {
      // The storage is blocked, so it contains nothing.
    }
    for (const key of keys) if (key.startsWith(prefix)) this.delete(key);
  }
}

/** What the browser keeps for this origin. */
export const kept = new Kept(() => localStorage);
/** What the browser keeps for this tab, also over a reload. */
export const keptInTab = new Kept(() => sessionStorage);
