// Keeps a tap from doing what the person did not aim at, although cards and bars appear, disappear and move.
//
// While a finger is down, and for a moment after it, the place of the bars keeps its size. A tap soon after something
// moved was aimed at what was there before. If the control under the finger is another one than before, the tap is
// missed: it does nothing, and the page says so.
import type { Timers } from '../lib/timers';
import { browserTimers } from '../lib/timers';

/** Time that a person needs to see that something moved and to aim again, in milliseconds. */
export const REACTION = 350;
/** Time after a tap for which the place of the bars keeps its size, in milliseconds. */
export const REST = 500;
/** Maximum time for which taps keep the place of the bars, in milliseconds. */
export const MAXIMUM_FREEZE = 5_000;

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** A control under a finger, and the block (a card or a bar) that it is part of. */
export interface Target<Block> {
  block: Block;
  box: Box;
}

function contains(box: Box, x: number, y: number): boolean {
  return x >= box.x && x < box.x + box.width && y >= box.y && y < box.y + box.height;
}

function same<Block>(a: ReadonlyMap<Block, Box>, b: ReadonlyMap<Block, Box>): boolean {
  if (a.size !== b.size) return false;
  for (const [block, { x, y }] of a) {
    const other = b.get(block);
    // Less than a pixel is rounding.
    if (other === undefined || Math.abs(other.x - x) >= 1 || Math.abs(other.y - y) >= 1) return false;
  }
  return true;
}

export class Steady<Block> {
  readonly #onFreeze: (frozen: boolean) => void;
  readonly #timers: Timers;
  #boxes: ReadonlyMap<Block, Box> = new Map();
  /** Where the blocks were before they moved, by the time of the movement. */
  #before: { at: number; boxes: ReadonlyMap<Block, Box> }[] = [];
  #missed = false;
  #since: number | undefined;
  #cancel: (() => void) | undefined;

  /** Calls `onFreeze` when the place of the bars must keep its size, and when it may change again. */
  constructor(onFreeze: (frozen: boolean) => void, timers: Timers = browserTimers) {
    this.#onFreeze = onFreeze;
    this.#timers = timers;
  }

  /** Notes where the blocks are. `own`: the person moved them, for example by scrolling, and aims at their new places. */
  note(boxes: ReadonlyMap<Block, Box>, own = false): void {
    const before = this.#boxes;
    this.#boxes = boxes;
    if (same(before, boxes)) return;
    if (own) this.#before = [];
    else this.#before.push({ at: this.#timers.monotonic(), boxes: before });
    this.#forget();
  }

  /** A finger touches the page at a place, on a control or on none. */
  down(x: number, y: number, target: Target<Block> | undefined): void {
    this.#forget();
    this.#missed = target !== undefined && this.#before.some(({ boxes }) => isOther(boxes, target, this.#boxes, x, y));
    const now = this.#timers.monotonic();
    if (this.#since === undefined) {
      this.#since = now;
      this.#onFreeze(true);
    }
    this.#thawAfter(MAXIMUM_FREEZE);
  }

  /** The finger leaves the page. */
  up(): void {
    if (this.#since !== undefined) this.#thawAfter(REST);
  }

  /** Returns, once, whether the tap is on another control than the one that it was aimed at. */
  takeMissed(): boolean {
    const missed = this.#missed;
    this.#missed = false;
    return missed;
  }

  close(): void {
    this.#cancel?.();
  }

  #forget(): void {
    const now = this.#timers.monotonic();
    this.#before = this.#before.filter(({ at }) => now - at < REACTION);
  }

  #thawAfter(delay: number): void {
    this.#cancel?.();
    const left = MAXIMUM_FREEZE - (this.#timers.monotonic() - (this.#since ?? 0));
    this.#cancel = this.#timers.after(Math.max(0, Math.min(delay, left)), () => {
      this.#since = undefined;
      this.#onFreeze(false);
    });
  }
}

/** Whether something was at a place before, and not the control that is there now. */
function isOther<Block>(
  before: ReadonlyMap<Block, Box>,
  target: Target<Block>,
  now: ReadonlyMap<Block, Box>,
  x: number,
  y: number,
): boolean {
  // Nobody aims at an empty place.
  if (![...before.values()].some((box) => contains(box, x, y))) return false;
  const [from, to] = [before.get(target.block), now.get(target.block)];
  if (from === undefined || to === undefined) return true;
  const { box } = target;
  return !contains({ ...box, x: box.x + from.x - to.x, y: box.y + from.y - to.y }, x, y);
}
