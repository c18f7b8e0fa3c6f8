// The account's sign-ins. The API lists them oldest first, with those that have ended.
import type { SessionInfo } from '../lib/api';

/** Number of sign-ins per request, and maximum number of requests until the person asks for more. */
export const PAGE = 100;
export const MAXIMUM_PAGES = 10;

export interface SessionPage {
  sessions: readonly SessionInfo[];
  next_cursor?: string | undefined;
}

export interface Sessions {
  /** The sign-ins that have not ended: the current one first, then the newest. */
  active: SessionInfo[];
  /** Where the list goes on; `undefined` at its end. */
  cursor: string | undefined;
}

/** Reads further pages, until the end of the list if it is not too long. */
export async function readSessions(
  known: Sessions,
  read: (page: { limit: number; cursor?: string }) => Promise<SessionPage>,
  isActive: (session: SessionInfo) => boolean,
): Promise<Sessions> {
  const sessions = new Map(known.active.map((session) => [session.id, session]));
  let { cursor } = known;
  for (let page = 0; page < MAXIMUM_PAGES; page += 1) {
    const list = await read({ limit: PAGE, ...(cursor === undefined ? {} : { cursor }) });
    for (const session of list.sessions) if (isActive(session)) sessions.set(session.id, session);
    cursor = list.next_cursor;
    if (cursor === undefined) break;
  }
  return { active: [...sessions.values()].sort(compare), cursor };
}

function compare(one: SessionInfo, other: SessionInfo): number {
  if (one.current !== other.current) return one.current ? -1 : 1;
  return Date.parse(other.created_at) - Date.parse(one.created_at) || (one.id < other.id ? 1 : -1);
}
