// The keys of the board: which letter does what, and where the arrow keys lead.
import { COLUMNS, type ColumnName, type Columns } from './view';

/** Keys that press a button of the selected card, by the `data-key` of the button's wrapper. */
export const CARD_KEYS = ['a', 'r', 'd', 'o'] as const;

export type KeyAction =
  | { kind: 'press'; key: (typeof CARD_KEYS)[number] }
  | { kind: 'minutes'; by: 1 | -1 }
  | { kind: 'column'; index: number }
  | { kind: 'unavailable' | 'print' | 'undo' | 'search' | 'items' | 'recall' | 'help' };

const ACTIONS: Record<string, KeyAction> = {
  a: { kind: 'press', key: 'a' },
  r: { kind: 'press', key: 'r' },
  d: { kind: 'press', key: 'd' },
  o: { kind: 'press', key: 'o' },
  u: { kind: 'unavailable' },
  p: { kind: 'print' },
  z: { kind: 'undo' },
  m: { kind: 'items' },
  l: { kind: 'recall' },
  '/': { kind: 'search' },
  '?': { kind: 'help' },
  '+': { kind: 'minutes', by: 1 },
  '=': { kind: 'minutes', by: 1 },
  '-': { kind: 'minutes', by: -1 },
  '−': { kind: 'minutes', by: -1 },
};

/** Returns what a key does; `undefined` if it does nothing. */
export function actionOf(key: string): KeyAction | undefined {
  if (/^[1-4]$/.test(key)) return { kind: 'column', index: Number(key) - 1 };
  return ACTIONS[key.toLowerCase()];
}

/** Returns the character of a key press. Layouts without Latin letters use the place of the key. */
export function characterOf(event: Pick<KeyboardEvent, 'key' | 'code'>): string | undefined {
  if (event.key.length !== 1) return undefined;
  if (event.key.charCodeAt(0) < 128) return event.key;
  const place = /^(?:Key([A-Z])|Digit(\d))$/.exec(event.code);
  return place?.[1]?.toLowerCase() ?? place?.[2] ?? event.key;
}

export type Direction = 'up' | 'down' | 'left' | 'right' | 'first' | 'last';

/** Returns the direction of an arrow key. In right-to-left languages the columns run from right to left. */
export function directionOf(key: string, rightToLeft: boolean): Direction | undefined {
  switch (key) {
    case 'ArrowUp':
      return 'up';
    case 'ArrowDown':
      return 'down';
    case 'ArrowLeft':
      return rightToLeft ? 'right' : 'left';
    case 'ArrowRight':
      return rightToLeft ? 'left' : 'right';
    case 'Home':
      return 'first';
    case 'End':
      return 'last';
    default:
      return undefined;
  }
}

export interface Place {
  column: ColumnName;
  index: number;
}

/** Returns the place of a card; `undefined` if it is not on the board. */
export function placeOf(columns: Columns, id: string | undefined): Place | undefined {
  if (id === undefined) return undefined;
  for (const column of COLUMNS) {
    const index = columns[column].findIndex((card) => card.id === id);
    if (index !== -1) return { column, index };
  }
  return undefined;
}

/** Returns where an arrow key leads. Without a place it leads to the first card; empty columns are skipped. */
export function move(columns: Columns, from: Place | undefined, direction: Direction): Place | undefined {
  const first = COLUMNS.find((column) => columns[column].length > 0);
  if (first === undefined) return undefined;
  if (from === undefined) return { column: first, index: 0 };
  const cards = columns[from.column];
  switch (direction) {
    case 'up':
      return { ...from, index: Math.max(0, from.index - 1) };
    case 'down':
      return { ...from, index: Math.min(cards.length - 1, from.index + 1) };
    case 'first':
      return { ...from, index: 0 };
    case 'last':
      return { ...from, index: cards.length - 1 };
    default: {
      const step = direction === 'right' ? 1 : -1;
      for (let at = COLUMNS.indexOf(from.column) + step; at >= 0 && at < COLUMNS.length; at += step) {
        const column = COLUMNS[at];
        if (column === undefined || columns[column].length === 0) continue;
        return { column, index: Math.min(from.index, columns[column].length - 1) };
      }
      return from;
    }
  }
}
