// The bodies that the board works with.
import type { BoardMessages, Body } from '../lib/api';

export type BoardOrder = BoardMessages['order'];
export type BoardItem = BoardMessages['item'];
export type Snapshot = BoardMessages['snapshot'];
export type Gone = BoardMessages['gone'];
export type Heartbeat = BoardMessages['heartbeat'];
export type Restaurant = Body<'Restaurant'>;
export type Order = Body<'Order'>;
export type OrderLine = Order['lines'][number];
export type Closure = Body<'Closure'>;
