// The one call of this page beside its stream. The whole client of the API would be a tenth of the page's budget, so this
// is `fetch` with the client's conventions: a timeout, an idempotency key, and an `ApiError` for every refusal.
import type { Tracking } from '../lib/api/contract';
import { ApiError, bodyOf, failureOf } from '../lib/api/error';
import { uuid } from '../lib/random';

/** Maximum duration of the call, in milliseconds. */
const CALL_TIMEOUT = 15_000;

export type CancelReason = 'changed_mind' | 'duplicate' | 'wrong_address' | 'too_slow' | 'other';

/** Cancels the order of a tracking link. Returns the order afterwards; throws an `ApiError` if the server refuses. */
export async function cancelOrder(token: string, reason: CancelReason, note: string): Promise<Tracking> {
  const text = note.trim();
  const response = await fetch(`/v1/tracking/${encodeURIComponent(token)}/cancel`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': uuid() },
    body: JSON.stringify(text === '' ? { reason } : { reason, note: text }),
    signal: AbortSignal.timeout(CALL_TIMEOUT),
    cache: 'no-store',
  }).catch((cause: unknown) => {
    throw failureOf(cause);
  });
  if (!response.ok) throw await ApiError.from(response);
  return (await bodyOf(response)) as Tracking;
}
