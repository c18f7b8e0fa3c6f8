// The orders whose ticket this tab prints once the server has accepted them. The tab keeps them over a reload, because the
// outbox sends the commands that it had before the reload.
import type { Kept } from '../../lib/kept';
import type { Entry } from '../../lib/outbox';
import type { BoardOrder } from '../types';

export class PrintQueue {
  readonly #kept: Pick<Kept, 'get' | 'set'>;
  readonly #name: string;
  /** Key of the command that accepts the order, by the order's id. */
  readonly #keys: Map<string, string>;

  constructor(kept: Pick<Kept, 'get' | 'set'>, name: string) {
    this.#kept = kept;
    this.#name = name;
    this.#keys = read(kept.get(name));
  }

  add(order: string, key: string): void {
    this.#keys.set(order, key);
    this.#keep();
  }

  /** Forgets an order whose command was undone. */
  forget(key: string): void {
    for (const [order, known] of this.#keys) if (known === key) this.#keys.delete(order);
    this.#keep();
  }

  /**
   * Removes and returns the orders to print: their command has left the outbox, and they are accepted. A command also leaves
   * because another tab undid it, and before the stream brings its effect, so an order that is still new waits. `complete`:
   * whether an order that `find` does not return has left the board.
   */
  take(entries: readonly Entry[], find: (order: string) => BoardOrder | undefined, complete: boolean): BoardOrder[] {
    const states = new Map(entries.map(({ key, state }) => [key, state]));
    const due: BoardOrder[] = [];
    for (const [id, key] of this.#keys) {
      const state = states.get(key);
      const order = find(id);
      const refused = state === 'refused';
      if (!refused && (state !== undefined || order?.status === 'confirmed' || (order === undefined && !complete))) continue;
      this.forget(key);
      if (!refused && order !== undefined) due.push(order);
    }
    return due;
  }

  #keep(): void {
    this.#kept.set(this.#name, JSON.stringify([...this.#keys]));
  }
}

function read(text: string | null): Map<string, string> {
  try {
    return new Map(JSON.parse(text ?? '[]') as [string, string][]);
  } catch {
    return new Map();
  }
}
