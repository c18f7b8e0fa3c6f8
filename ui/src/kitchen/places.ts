// Notices taps on something that came under the finger just before: cards leave and move, and bars push them down.
//
// A person who taps within the time of a reaction after such a movement may mean what was there before or what is there
// now. The page cannot know which, so a tap that would press different buttons presses none.
import { browserTimers, type Timers } from '../lib/timers';
import { REACTION } from './steady';

/** Where a card is on the screen, in pixels. */
export interface Box {
  left: number;
  right: number;
  /** Top of the card, which may lie outside of its column's window. */
  origin: number;
  /** Top and bottom of its visible part. */
  top: number;
  bottom: number;
}

export type Boxes = ReadonlyMap<string, Box>;

/** A point of a card, relative to the card. */
export interface Spot {
  card: string;
  x: number;
  y: number;
}

export class Places {
  readonly #timers: Timers;
  #boxes: Boxes = new Map();
  /** Where the cards were before each of the last movements. */
  #earlier: { at: number; boxes: Boxes }[] = [];
  #aim: Boxes | undefined;

  constructor(timers: Timers = browserTimers) {
    this.#timers = timers;
  }

  /** Notes where the cards are after the page has changed. */
  changed(boxes: Boxes): void {
    const now = this.#timers.monotonic();
    if (moved(this.#boxes, boxes)) this.#earlier.push({ at: now, boxes: this.#boxes });
    this.#earlier = this.#earlier.filter(({ at }) => now - at < REACTION);
    this.#boxes = boxes;
  }

  /** Notes where the cards are after a person has scrolled, which surprises nobody. */
  scrolled(boxes: Boxes): void {
    this.#boxes = boxes;
  }

  /** Notes where the cards are after a person has chosen to see others. */
  arranged(boxes: Boxes): void {
    this.#earlier = [];
    this.#boxes = boxes;
  }

  /** A finger touches the page. */
  down(): void {
    const now = this.#timers.monotonic();
    this.#aim = this.#earlier.find(({ at }) => now - at < REACTION)?.boxes;
  }

  /**
   * Returns what was at the place of a tap when the person decided, if the cards have moved since; `undefined` if they have
   * not, or if there was no card. Each touch has one answer.
   */
  takeAim(x: number, y: number): Spot | undefined {
    const aim = this.#aim;
    this.#aim = undefined;
    for (const [card, box] of aim ?? []) {
      const inside = x >= box.left && x < box.right && y >= box.top && y < box.bottom;
      if (inside) return { card, x: x - box.left, y: y - box.origin };
    }
    return undefined;
  }

  /** Returns where a point of a card is now; `undefined` if it is not to be seen. */
  locate({ card, x, y }: Spot): { x: number; y: number } | undefined {
    const box = this.#boxes.get(card);
    if (box === undefined || box.origin + y < box.top || box.origin + y >= box.bottom) return undefined;
    return { x: box.left + x, y: box.origin + y };
  }
}

/** Whether a card has left its place. A card that was added where nothing was moves nothing. */
function moved(before: Boxes, after: Boxes): boolean {
  for (const [card, { left, origin }] of before) {
    const now = after.get(card);
    if (now === undefined || Math.abs(now.left - left) > 1 || Math.abs(now.origin - origin) > 1) return true;
  }
  return false;
}

/** Measures the cards that are to be seen below an element. */
export function measureCards(root: HTMLElement | undefined): Boxes {
  const boxes = new Map<string, Box>();
  for (const column of root?.querySelectorAll('.scroll') ?? []) {
    const view = column.getBoundingClientRect();
    for (const card of column.querySelectorAll<HTMLElement>('[data-card]')) {
      // The item of the list: what is in it has no layout while it is far from the screen.
      const box = (card.parentElement ?? card).getBoundingClientRect();
      const top = Math.max(box.top, view.top);
      const bottom = Math.min(box.bottom, view.bottom, innerHeight);
      if (bottom <= top || box.width === 0) continue;
      boxes.set(card.dataset['card'] ?? '', { left: box.left, right: box.right, origin: box.top, top, bottom });
    }
  }
  return boxes;
}
