// The idempotency key of a form that creates something: a retry of the same request has the same key, so that it creates
// nothing twice; another request has another key.
import { uuid } from './random';

export class RequestKey {
  #request: string | undefined;
  #key = '';

  /** Returns the key of a request. */
  of(request: unknown): string {
    const text = JSON.stringify(request);
    if (text !== this.#request) {
      this.#request = text;
      this.#key = uuid();
    }
    return this.#key;
  }

  /** Gives the next request another key, although it is the same: the last one is done, and its answer was no use. */
  renew(): void {
    this.#request = undefined;
  }
}
