// The idempotency key of a form: a retry of the same request has the same key, so that it creates or changes nothing twice;
// another request has another key.
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

  /**
   * Returns the headers of a request that changes a version. A retry after a lost answer has the same key: with another one, it
   * would be refused, because the first request has changed the version.
   */
  headers(version: number, request: unknown): { 'If-Match': string; 'Idempotency-Key': string } {
    return { 'If-Match': `"${version}"`, 'Idempotency-Key': this.of([version, request]) };
  }

  /** Gives the next request another key, although it is the same: the last one is done, and its answer was no use. */
  renew(): void {
    this.#request = undefined;
  }
}
