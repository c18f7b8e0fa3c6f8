// Which ends of a box are scrolled out of sight.

/** Distance in pixels that counts as the end: browsers round positions. */
const TOLERANCE = 2;

export interface Scrolled {
  scrollLeft: number;
  scrollWidth: number;
  clientWidth: number;
}

/** Returns at which ends of the reading direction a box hides something. From right to left, positions are negative. */
export function hiddenEnds({ scrollLeft, scrollWidth, clientWidth }: Scrolled): { start: boolean; end: boolean } {
  const passed = Math.abs(scrollLeft);
  return { start: passed > TOLERANCE, end: scrollWidth - clientWidth - passed > TOLERANCE };
}
