import { describe, expect, it } from 'vitest';
import type { SessionInfo } from '../lib/api';
import { MAXIMUM_PAGES, PAGE, readSessions } from './sessions';

/** A sign-in; a higher number is a later one. */
function session(number: number, more: Partial<SessionInfo> = {}): SessionInfo {
  const created = new Date(Date.parse('2026-06-01T12:00:00Z') + number * 60_000).toISOString();
  return { id: `s${number}`, created_at: created, current: false, ...more } as SessionInfo;
}

/** A server with sign-ins, oldest first. */
const serverOf =
  (sessions: SessionInfo[]) =>
  ({ limit, cursor }: { limit: number; cursor?: string }) => {
    const from = Number(cursor ?? 0);
    const rest = from + limit < sessions.length ? { next_cursor: String(from + limit) } : {};
    return Promise.resolve({ sessions: sessions.slice(from, from + limit), ...rest });
  };

const none = { active: [], cursor: undefined };
const isActive = (info: SessionInfo) => info.revoked_at === undefined;
const many = (count: number, more: Partial<SessionInfo> = {}) => Array.from({ length: count }, (_, number) => session(number, more));

describe('the sign-ins', () => {
  it('contain the current one after many that have ended', async () => {
    const ended = many(2 * PAGE, { revoked_at: '2026-06-01T12:00:00Z' });
    const { active, cursor } = await readSessions(none, serverOf([...ended, session(500, { current: true })]), isActive);
    expect(active.map(({ id }) => id)).toEqual(['s500']);
    expect(cursor).toBeUndefined();
  });

  it('begin with the current one, and go on with the newest', async () => {
    const list = [session(1), session(2, { current: true }), session(3), session(4)];
    const { active } = await readSessions(none, serverOf(list), isActive);
    expect(active.map(({ id }) => id)).toEqual(['s2', 's4', 's3', 's1']);
  });

  it('are read in parts if they are very many', async () => {
    const read = serverOf(many((MAXIMUM_PAGES + 1) * PAGE));
    const first = await readSessions(none, read, isActive);
    expect(first.active).toHaveLength(MAXIMUM_PAGES * PAGE);
    const all = await readSessions(first, read, isActive);
    expect(all.active).toHaveLength((MAXIMUM_PAGES + 1) * PAGE);
    expect(all.cursor).toBeUndefined();
  });
});
