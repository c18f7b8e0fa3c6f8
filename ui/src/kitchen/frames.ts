// Changes of the state reach the page once per animation frame, however many messages arrive in between. Nothing moves
// while a finger is down: the tap must hit what the user saw.

/** Interval of updates while the browser draws no frames, in milliseconds: a hidden page. */
export const HIDDEN_INTERVAL = 250;
/** Maximum time for which a finger on the page holds updates back, in milliseconds. */
export const MAXIMUM_HOLD = 1_500;

export interface FrameTimers {
  frame(action: () => void): void;
  after(delay: number, action: () => void): void;
  hidden(): boolean;
  monotonic(): number;
}

export const browserFrames: FrameTimers = {
  frame: (action) => void requestAnimationFrame(action),
  after: (delay, action) => void setTimeout(action, delay),
  hidden: () => document.visibilityState === 'hidden',
  monotonic: () => performance.now(),
};

export class Frames {
  readonly #update: () => void;
  readonly #timers: FrameTimers;
  #wanted = false;
  #scheduled = false;
  #heldSince: number | undefined;

  constructor(update: () => void, timers: FrameTimers = browserFrames) {
    this.#update = update;
    this.#timers = timers;
  }

  /** Asks for an update in the next frame. */
  request(): void {
    this.#wanted = true;
    if (this.#scheduled) return;
    this.#scheduled = true;
    // A page that becomes hidden between the request and the frame gets no frame, so a timer runs beside it.
    let done = false;
    const once = () => {
      if (done) return;
      done = true;
      this.#run();
    };
    if (!this.#timers.hidden()) this.#timers.frame(once);
    this.#timers.after(HIDDEN_INTERVAL, once);
  }

  /** Holds updates back while the user presses something. */
  hold(): void {
    const since = this.#timers.monotonic();
    this.#heldSince = since;
    this.#timers.after(MAXIMUM_HOLD, () => {
      // A timer may fire a moment early, so only a later press keeps holding.
      if (this.#heldSince === since) this.release();
    });
  }

  release(): void {
    this.#heldSince = undefined;
    if (this.#wanted) this.request();
  }

  #held(): number | undefined {
    if (this.#heldSince === undefined) return undefined;
    return this.#timers.monotonic() - this.#heldSince < MAXIMUM_HOLD ? this.#heldSince : undefined;
  }

  #run(): void {
    this.#scheduled = false;
    if (!this.#wanted || this.#held() !== undefined) return;
    this.#wanted = false;
    this.#update();
  }
}
