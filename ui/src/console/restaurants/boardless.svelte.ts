// Which restaurants had no board in the last 30 days. Lists of restaurants name only those that had one and have none now.
import { api, unwrap } from '../../lib/api';
import { clock } from '../../lib/clock';
import { Lookup } from '../lookup.svelte';

/** Time after which a restaurant without boards is asked again, in milliseconds. */
const FRESH = 60_000;

const known = new Lookup<{ boardless: boolean; at: number }>(async (id) => {
  const { boards } = await unwrap(api.GET('/v1/restaurants/{restaurant_id}/boards', { params: { path: { restaurant_id: id } } }));
  return { boardless: boards.length === 0, at: clock.now() };
});

/** Time for which the server knows boards, in milliseconds. */
const KNOWN = 30 * 24 * 3_600_000;

/** Whether a restaurant is so young that a restaurant without known boards never had one. */
export function isNew(created: string, now: number): boolean {
  return now - Date.parse(created) < KNOWN;
}

/** Whether a restaurant had no board, as far as it is known. */
export function isBoardless(id: string): boolean {
  return known.of(id)?.boardless === true;
}

/** Keeps what the devices of a restaurant say. */
export function keepBoardless(id: string, boardless: boolean): void {
  known.keep(id, { boardless, at: clock.now() });
}

/** Reads whether a restaurant had a board. Once it had one, the restaurant itself states since when none watches. */
export function needBoardless(id: string): void {
  const value = known.of(id);
  if (value === undefined || (value.boardless && clock.now() - value.at > FRESH)) known.again(id);
}
