// The typed client of Dabba's API, as the pages use it.
//
//     const order = await unwrap(api.GET('/v1/orders/{order_id}', { params: { path: { order_id } } }));
//
// `unwrap` returns the body or throws an `ApiError`. Every call has a timeout. A POST gets an idempotency key unless the
// caller gives one; a command that must survive a reload belongs in the outbox (`outbox.ts`) instead.
import { uuid } from '../random';
import { anySignal } from '../signals';
import { ApiError, failureOf } from './error';
import { clientOf } from './request';

/** Maximum duration of a call, in milliseconds. */
export const CALL_TIMEOUT = 15_000;

const listeners = new Set<(error: ApiError) => void>();

/** Calls `listener` whenever a call is refused because nobody is signed in. Returns the function that ends this. */
export function onUnauthenticated(listener: (error: ApiError) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Reports a refusal with 401 that did not go through this client, such as one of a stream. */
export function reportUnauthenticated(error: ApiError): void {
  for (const listener of listeners) listener(error);
}

/** Sends a request with a timeout. Rejects with an `ApiError` if there is no response. */
export async function send(request: Request, timeout = CALL_TIMEOUT): Promise<Response> {
  const signal = anySignal(request.signal, AbortSignal.timeout(timeout));
  try {
    return await fetch(request, { signal, credentials: 'same-origin', cache: 'no-store' });
  } catch (cause) {
    if (request.signal.aborted) throw cause;
    throw failureOf(cause);
  }
}

export const api = clientOf((request, path) => {
  // A sign-in creates a session each time.
  if (request.method === 'POST' && path !== '/v1/session' && !request.headers.has('Idempotency-Key')) {
    request.headers.set('Idempotency-Key', uuid());
  }
  return send(request);
});

/**
 * Returns the body of a successful call, and throws an `ApiError` for every other outcome. `quiet`: a 401 is an answer to
 * this call alone, such as to the question who is signed in, and not reported to the page.
 */
export async function unwrap<T>(
  call: Promise<{ data?: T; error?: unknown; response: Response }>,
  { quiet = false } = {},
): Promise<NonNullable<T>> {
  const { data, error, response } = await call;
  if (response.ok) return (data ?? undefined) as NonNullable<T>;
  const problem = typeof error === 'object' && error !== null ? error : {};
  const failure = new ApiError(response.status, problem, response.headers);
  if (failure.status === 401 && !quiet) reportUnauthenticated(failure);
  throw failure;
}
