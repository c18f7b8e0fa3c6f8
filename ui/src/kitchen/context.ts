// What the parts of the board share.
import { createContext } from 'svelte';
import type { Board } from './board.svelte';
import type { EndReason } from './commands';
import type { BoardOrder } from './types';

export type OpenDialog =
  | { kind: 'end'; order: BoardOrder; reason?: EndReason }
  | { kind: 'details'; order: BoardOrder }
  | { kind: 'pause' }
  | { kind: 'items' }
  | { kind: 'recall' }
  | { kind: 'settings' }
  | { kind: 'help' }
  | { kind: 'menu' };

export interface Kitchen {
  readonly board: Board;
  /** Time zone of the restaurant. */
  readonly zone: string;
  /** Whether the account only looks: commands to orders belong to the restaurant's staff. */
  readonly readOnly: boolean;
  /** Time to accept an order, in seconds. */
  readonly acceptanceSeconds: number;
  open(dialog: OpenDialog): void;
  close(): void;
  /** Closes the dialog and leads to the card of an order. */
  show(order: string): void;
  /** A person has changed the sizes of the cards, so their new places surprise nobody. */
  arranged(): void;
}

export const [getKitchen, setKitchen] = createContext<Kitchen>();
