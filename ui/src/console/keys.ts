// The keyboard: j and k move through the list, `/` searches, Escape goes back, `?` explains.

export type KeyAction = 'next' | 'previous' | 'search' | 'back' | 'help';

const ACTIONS: Record<string, KeyAction> = {
  j: 'next',
  k: 'previous',
  '/': 'search',
  Escape: 'back',
  '?': 'help',
};

export interface Pressed {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  /** Whether the key types text where it was pressed. */
  typing: boolean;
  /** Whether a dialog is open: the keys then belong to it. */
  dialog: boolean;
  /** Whether single characters are shortcuts. */
  shortcuts: boolean;
}

/** Returns what a key does. */
export function actionOf(pressed: Pressed): KeyAction | undefined {
  if (pressed.ctrlKey || pressed.metaKey || pressed.altKey || pressed.dialog) return undefined;
  const action = ACTIONS[pressed.key];
  // Escape is no character, so it works always.
  return (pressed.typing || !pressed.shortcuts) && action !== 'back' ? undefined : action;
}

/** Index of the row that a step leads to; `undefined` without rows. No row is focused at `-1`. */
export function stepTo(count: number, current: number, step: 1 | -1): number | undefined {
  if (count === 0) return undefined;
  if (current === -1) return step === 1 ? 0 : count - 1;
  return Math.min(count - 1, Math.max(0, current + step));
}
