// Background requests of a page take turns, however many of its parts want something: names, previews, orders that changed.
// What a person waits for alone, such as an open order, takes no turn.

/** Maximum number of background requests of a page that are under way at the same time. */
export const MAXIMUM_IN_FLIGHT = 4;

let running = 0;
/** The callers that wait. Each of them bounds itself: a bulk action and a lookup have few requests at a time. */
const waiting: (() => void)[] = [];

/** Calls `request` as soon as fewer than `MAXIMUM_IN_FLIGHT` others are under way. A request must not wait for another one. */
export async function inTurn<T>(request: () => Promise<T>): Promise<T> {
  if (running < MAXIMUM_IN_FLIGHT) running += 1;
  else await new Promise<void>((next) => waiting.push(next));
  try {
    return await request();
  } finally {
    const next = waiting.shift();
    // The turn passes to the next caller.
    if (next === undefined) running -= 1;
    else next();
  }
}
