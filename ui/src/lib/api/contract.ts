// Names for the bodies of the API that the pages use most, and the messages of its streams, which the description contains
// as texts only.
import type { components, paths } from '../../generated/api';

type Schemas = components['schemas'];

/** Body of the API with this name. */
export type Body<Name extends keyof Schemas> = Schemas[Name];

export type Session = Body<'Session'>;
export type SessionInfo = Body<'SessionInfo'>;
export type SessionList = Body<'SessionList'>;
export type Board = Body<'Board'>;
export type BoardOrder = Body<'BoardOrder'>;
export type BoardItem = Body<'BoardItem'>;
export type Tracking = Body<'Tracking'>;
export type TrackedOrder = Body<'TrackedOrder'>;
export type TrackingLink = Body<'TrackingLink'>;
export type Restaurant = Body<'Restaurant'>;
export type Order = Body<'Order'>;

/** The messages of `GET /v1/restaurants/{id}/board/stream`, by the name of their event. */
export interface BoardMessages {
  snapshot: Board;
  order: BoardOrder;
  gone: { id: string; version: number; status: string; closure?: Schemas['Closure'] };
  restaurant: Restaurant;
  item: BoardItem;
  heartbeat: { now: string; build: string; open: number; versions: number; ids: number };
  bye: Bye;
}

/** The messages of `GET /v1/tracking/{token}/stream`, by the name of their event. */
export interface TrackingMessages {
  tracking: Tracking;
  heartbeat: { now: string };
  bye: Bye;
}

/** The last message of every stream. */
export interface Bye {
  reason: string;
  retry_after_ms: number;
}

/** Every operation that a page may call. */
export type Paths = paths;
