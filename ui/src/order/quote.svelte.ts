// The live quote: the server prices the cart again whenever it changes, a moment after the last change.
import { api, ApiError, unwrap } from '../lib/api';
import { browserTimers, type Timers } from '../lib/timers';
import { retryDelay } from './attempt';
import { toLines, type Cart } from './cart';
import type { FulfilmentKind, Obstacle, Quote } from './types';

/** Time after the last change until the quote is requested, in milliseconds. */
export const QUOTE_DELAY = 250;
/** Interval after which an unchanged cart is priced again: restaurants close, and items run out. In milliseconds. */
export const QUOTE_LIFETIME = 60_000;

/**
 * Whether the server takes cards. Quotes ask for a card payment, because only that answers the question: the obstacle
 * `not_payable_by_card` without an amount means that the server takes none; with one, that it does not take this total.
 */
export function takesCards(quote: Quote): boolean {
  return !quote.obstacles.some(({ code, amount }) => code === 'not_payable_by_card' && amount === undefined);
}

/** Returns the obstacles for a payment: what keeps from paying by card does not matter in cash. */
export function obstaclesFor(quote: Quote, payment: 'cash' | 'card'): Obstacle[] {
  return quote.obstacles.filter(({ code }) => payment === 'card' || code !== 'not_payable_by_card');
}

export class LiveQuote {
  /** The last quote. It may be of the cart before the last change while `pending`. */
  quote = $state.raw<Quote>();
  pending = $state(false);
  error = $state.raw<ApiError>();
  readonly #restaurant: string;
  readonly #timers: Timers;
  readonly #hidden: () => boolean;
  #cancel: (() => void) | undefined;
  #request: AbortController | undefined;
  /** Number of failures since the last answer. */
  #failures = 0;
  /** Reads the quote that became due while nobody saw the page. */
  #due: (() => void) | undefined;

  constructor(
    restaurant: string,
    timers: Timers = browserTimers,
    hidden: () => boolean = () => document.visibilityState === 'hidden',
  ) {
    this.#restaurant = restaurant;
    this.#timers = timers;
    this.#hidden = hidden;
  }

  /** Requests a quote of this cart soon. An earlier request that is still under way no longer counts. */
  request(cart: Cart, fulfilment: FulfilmentKind, delay = QUOTE_DELAY): void {
    this.stop();
    this.#failures = 0;
    if (cart.length === 0) {
      this.quote = undefined;
      this.error = undefined;
      return;
    }
    this.pending = true;
    this.#cancel = this.#timers.after(delay, () => void this.#read(cart, fulfilment));
  }

  /** Takes the quote of another answer, such as a refused order. */
  take(quote: Quote): void {
    this.quote = quote;
  }

  /** Makes up for what a hidden page left out. Call it when the page becomes visible. */
  wake(): void {
    this.#due?.();
  }

  stop(): void {
    this.#due = undefined;
    this.#cancel?.();
    this.#request?.abort();
    this.pending = false;
  }

  async #read(cart: Cart, fulfilment: FulfilmentKind): Promise<void> {
    const request = new AbortController();
    this.#request = request;
    this.#due = undefined;
    let pause = QUOTE_LIFETIME;
    try {
      const quote = await unwrap(
        api.POST('/v1/restaurants/{restaurant_id}/quotes', {
          params: { path: { restaurant_id: this.#restaurant } },
          body: { lines: toLines(cart), fulfilment, payment_method: 'card' },
          signal: request.signal,
        }),
      );
      if (request.signal.aborted) return;
      this.quote = quote;
      this.error = undefined;
      this.#failures = 0;
    } catch (cause) {
      if (request.signal.aborted) return;
      if (!(cause instanceof ApiError)) throw cause;
      this.error = cause;
      if (cause.retryable) pause = retryDelay(this.#failures, cause.retryAfter);
      this.#failures += 1;
    }
    this.pending = false;
    const read = () => void this.#read(cart, fulfilment);
    this.#cancel = this.#timers.after(pause, () => {
      if (this.#hidden()) this.#due = read;
      else read();
    });
  }
}
