// Placing an order exactly once: a small machine around one attempt (`attempt.ts`).
//
//     idle ─ place ─▶ sending ─▶ placed ─▶ (tracking page)
//                      │  ▲ └───▶ price ─ agree ─▶ sending, with a new key
//                      ▼  │
//                     waiting ──▶ unsettled ─ resend ─▶ sending
//                                     └─ give up ─▶ settling ─▶ placed, if the order exists after all; else idle
import { api, ApiError, unwrap, type Session } from '../lib/api';
import { clock } from '../lib/clock';
import { createTrackingPath } from '../lib/open-orders';
import { browserTimers, type Timers } from '../lib/timers';
import {
  createAttempt,
  findPlaced,
  forgetAttempt,
  keepAttempt,
  keptAttempt,
  POLL_INTERVAL,
  RESEND_LIMIT,
  retryDelay,
  RETRY_LIMIT,
  SETTLE_LIMIT,
  verdictOf,
  type Attempt,
} from './attempt';
import type { OrderRequest, Quote } from './types';

/** Maximum number of the account's latest orders among which a placed order is searched. */
const SEARCHED_ORDERS = 20;

export type PlacingState =
  | { status: 'idle' }
  /** A request is under way. `retries` counts the earlier ones. */
  | { status: 'sending'; retries: number }
  /** The last request had no definite answer; the next one follows by itself. */
  | { status: 'waiting'; retries: number; error: ApiError }
  /** It is unknown whether the order exists, and the customer decides. */
  | { status: 'unsettled'; error: ApiError | undefined; mayResend: boolean }
  /** The customer gave up, and the page waits until the last request can no longer create the order. */
  | { status: 'settling' }
  | { status: 'sign_in' }
  | { status: 'price'; quote: Quote; before: number }
  | { status: 'refused'; error: ApiError }
  /** The order exists. `error`: the way to its tracking page failed. */
  | { status: 'placed'; order: string; error: ApiError | undefined };

export interface PlacingEvents {
  /** The order of these lines exists: the cart has served its purpose. */
  placed: (order: string, lines: OrderRequest['lines']) => void;
  /** The order's tracking page has this path. */
  leave: (path: string) => void;
}

export class Placing {
  state = $state.raw<PlacingState>({ status: 'idle' });
  readonly #restaurant: string;
  readonly #events: PlacingEvents;
  readonly #timers: Timers;
  #attempt: Attempt | undefined;
  #cancelRetry: (() => void) | undefined;
  #retryUntil = 0;
  #settledAt = 0;
  /** Whether an earlier request of the attempt may be without an answer, so that the order may exist. */
  #unanswered = false;

  constructor(restaurant: string, events: PlacingEvents, timers: Timers = browserTimers) {
    this.#restaurant = restaurant;
    this.#events = events;
    this.#timers = timers;
  }

  /** Whether an attempt is under way, so that a further tap must not begin another one. */
  get busy(): boolean {
    return ['sending', 'waiting', 'settling', 'placed'].includes(this.state.status);
  }

  /** Takes up an attempt of before the reload. Call it once the session is known. */
  resume(session: Session | undefined): void {
    const kept = keptAttempt(this.#restaurant);
    if (kept === undefined && this.state.status === 'sign_in' && session !== undefined) this.state = { status: 'idle' };
    if (kept === undefined || this.busy) return;
    if (session !== undefined && kept.account !== session.account.id) {
      // Another person ordered here. The order, if there is one, is in that account.
      forgetAttempt(this.#restaurant);
      return;
    }
    const asked = this.state.status === 'sign_in';
    if (session === undefined) this.state = { status: 'sign_in' };
    // After a sign-in the cart may be another one, so the customer decides.
    else this.#takeUp(kept, asked);
  }

  /** Goes on with an attempt that began before the reload, or in another tab. */
  #takeUp(kept: Attempt, asked = false): void {
    this.#attempt = kept;
    this.#unanswered = true;
    const age = Math.abs(clock.now() - kept.startedAt);
    if (kept.givenUp === true) void this.#settle(kept);
    else if (kept.order !== undefined || (age < RETRY_LIMIT && !asked)) this.#start();
    else this.#ask(undefined);
  }

  /** Places an order. Does nothing while an attempt is under way: a double tap orders once. */
  place(session: Session, body: OrderRequest): void {
    if (this.busy) return;
    this.#begin(createAttempt(session.account.id, body, clock.now()));
  }

  /** Orders at the new price: another intention, so another key. */
  agree(): void {
    if (this.state.status !== 'price' || this.#attempt === undefined) return;
    const { account, body } = this.#attempt;
    this.#begin(createAttempt(account, { ...body, expected_total: this.state.quote.amounts.total }, clock.now()));
  }

  /** Sends the attempt of an unknown outcome again, with the same key. */
  resend(): void {
    if (this.state.status === 'unsettled' && this.state.mayResend) this.#start();
  }

  /**
   * Ends an attempt of an unknown outcome. If the order exists after all, the customer is led to it. A request that is still
   * on its way may create it, so the page polls until that is over.
   */
  async giveUp(): Promise<void> {
    if (this.state.status !== 'unsettled' || this.#attempt === undefined) return;
    await this.#settle({ ...this.#attempt, givenUp: true });
  }

  async #settle(attempt: Attempt): Promise<void> {
    keepAttempt(this.#restaurant, attempt);
    this.#attempt = attempt;
    this.state = { status: 'settling' };
    const age = Math.abs(clock.now() - (attempt.sentAt ?? attempt.startedAt));
    this.#settledAt = this.#timers.monotonic() + Math.max(0, SETTLE_LIMIT - age);
    await this.#poll(attempt);
  }

  /** Polls for the order of an attempt that the customer gave up, until the attempt is settled. */
  async #poll(attempt: Attempt): Promise<void> {
    const rest = this.#settledAt - this.#timers.monotonic();
    try {
      const query = { limit: SEARCHED_ORDERS };
      const { orders } = await unwrap(api.GET('/v1/orders', { params: { query } }));
      if (this.#attempt !== attempt) return;
      const placed = findPlaced(orders, this.#restaurant, attempt);
      if (placed !== undefined) await this.#arrive({ ...attempt, order: placed.id });
      else if (rest <= 0) this.reset();
      else this.#cancelRetry = this.#timers.after(Math.min(POLL_INTERVAL, rest), () => void this.#poll(attempt));
    } catch (cause) {
      this.#failed(attempt, cause, (error) => {
        // After the sign-in, `resume` goes on to settle, because the attempt is given up.
        if (error.status === 401) this.state = { status: 'sign_in' };
        else this.#ask(error);
      });
    }
  }

  /** Lets the customer decide about an attempt of an unknown outcome. */
  #ask(error: ApiError | undefined): void {
    this.#unanswered = true;
    const age = Math.abs(clock.now() - (this.#attempt?.startedAt ?? 0));
    this.state = { status: 'unsettled', error, mayResend: age < RESEND_LIMIT };
  }

  /** Passes the failure of a call on, unless the attempt has ended meanwhile. No failure leaves the page waiting for ever. */
  #failed(attempt: Attempt, cause: unknown, handle: (error: ApiError) => void): void {
    const current = this.#attempt === attempt;
    if (cause instanceof ApiError) {
      if (current) handle(cause);
      return;
    }
    if (current) this.#ask(undefined);
    throw cause;
  }

  /** Retries now, for example because the device has a network again. */
  retryNow(): void {
    if (this.state.status === 'waiting') this.#retry(this.state.retries);
    else if (this.state.status === 'placed' && this.state.error !== undefined) this.#start();
  }

  /** Forgets the attempt of this tab, which wrote nothing. */
  reset(): void {
    this.#cancelRetry?.();
    this.#forget();
    this.#attempt = undefined;
    this.state = { status: 'idle' };
  }

  /** Forgets what is kept of this tab's attempt. The browser's tabs share one place, which may hold another tab's attempt. */
  #forget(): void {
    if (keptAttempt(this.#restaurant)?.key === this.#attempt?.key) forgetAttempt(this.#restaurant);
  }

  /** Begins an attempt, unless another tab has one: that one goes first, so that two tabs do not order twice. */
  #begin(attempt: Attempt): void {
    const kept = keptAttempt(this.#restaurant);
    if (kept !== undefined && kept.account === attempt.account) {
      this.#takeUp(kept);
      return;
    }
    keepAttempt(this.#restaurant, attempt);
    this.#attempt = attempt;
    this.#unanswered = false;
    this.#start();
  }

  #start(): void {
    this.#retryUntil = this.#timers.monotonic() + RETRY_LIMIT;
    if (this.#attempt !== undefined) this.#attempt = { ...this.#attempt, givenUp: false };
    if (this.#attempt?.order !== undefined) void this.#arrive(this.#attempt);
    else void this.#send(0);
  }

  async #send(retries: number): Promise<void> {
    if (this.#attempt === undefined) return;
    this.#cancelRetry?.();
    const attempt = { ...this.#attempt, sentAt: clock.now() };
    this.#attempt = attempt;
    keepAttempt(this.#restaurant, attempt);
    this.state = { status: 'sending', retries };
    try {
      const order = await unwrap(
        api.POST('/v1/restaurants/{restaurant_id}/orders', {
          params: { path: { restaurant_id: this.#restaurant }, header: { 'Idempotency-Key': attempt.key } },
          body: attempt.body,
        }),
      );
      if (this.#attempt === attempt) await this.#arrive({ ...attempt, order: order.id });
    } catch (cause) {
      this.#failed(attempt, cause, (error) => this.#judge(error, retries));
    }
  }

  #judge(error: ApiError, retries: number): void {
    switch (verdictOf(error)) {
      case 'sign_in':
        // If no earlier request is without an answer, nothing was written, and there is nothing to settle.
        if (!this.#unanswered) this.reset();
        this.state = { status: 'sign_in' };
        return;
      case 'price':
        this.#forget();
        this.state = { status: 'price', quote: error.problem.quote as Quote, before: this.#attempt?.body.expected_total ?? 0 };
        return;
      case 'refused':
        this.reset();
        this.state = { status: 'refused', error };
        return;
      case 'retry':
        this.#retryLater(error, retries);
    }
  }

  #retryLater(error: ApiError, retries: number): void {
    this.#unanswered = true;
    if (this.#timers.monotonic() >= this.#retryUntil) {
      this.#ask(error);
      return;
    }
    this.state = { status: 'waiting', retries: retries + 1, error };
    const delay = retryDelay(retries, error.retryAfter);
    this.#cancelRetry = this.#timers.after(delay, () => this.#retry(retries + 1));
  }

  /** Sends again, unless another tab has given the attempt up, or settled it and begun another one. */
  #retry(retries: number): void {
    const kept = keptAttempt(this.#restaurant);
    const ours = kept?.key === this.#attempt?.key && kept?.givenUp !== true;
    if (kept === undefined || kept.account !== this.#attempt?.account || ours) void this.#send(retries);
    else this.#takeUp(kept);
  }

  /** Asks for the tracking link and leaves the page. The attempt is kept until the link is there. */
  async #arrive(attempt: Attempt): Promise<void> {
    const order = attempt.order ?? '';
    keepAttempt(this.#restaurant, attempt);
    this.#attempt = attempt;
    this.state = { status: 'placed', order, error: undefined };
    this.#events.placed(order, attempt.body.lines);
    try {
      const path = await createTrackingPath(order);
      if (this.#attempt !== attempt) return;
      this.#forget();
      this.#events.leave(path);
    } catch (cause) {
      this.#failed(attempt, cause, (error) => {
        // An order has no more links, or none any more: there is nothing to wait for.
        if (!error.retryable) this.#forget();
        this.state = error.status === 401 ? { status: 'sign_in' } : { status: 'placed', order, error };
      });
    }
  }
}
