// Every failure of a call is an `ApiError`: a refusal by the server (RFC 9457), or a call without a response.
import type { components } from '../../generated/api';

type Problem = components['schemas']['Problem'];
export type InputProblem = components['schemas']['InputProblem'];

/** Codes of the failures that have no response: the browser could not send, or the server did not answer in time. */
export type LocalCode = 'network' | 'timeout';

export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** Status of the response; 0 without a response. */
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string | undefined;
  readonly errors: InputProblem[];
  /** Delay after which a retry may succeed, in milliseconds. */
  readonly retryAfter: number | undefined;
  readonly requestId: string | undefined;
  /** The whole problem, with the members of its kind. */
  readonly problem: Partial<Problem>;

  constructor(status: number, problem: Partial<Problem>, headers?: Headers) {
    super(problem.detail ?? problem.title ?? `Status ${status}`);
    this.status = status;
    this.problem = problem;
    this.code = problem.code ?? `status_${status}`;
    this.title = problem.title ?? '';
    this.detail = problem.detail;
    this.errors = problem.errors ?? [];
    this.retryAfter = retryAfterOf(headers);
    this.requestId = headers?.get('x-request-id') ?? undefined;
  }

  static local(code: LocalCode): ApiError {
    return new ApiError(0, { code });
  }

  /** Reads the problem of a refused response. A body that is no problem, such as a proxy's page, counts as none. */
  static async from(response: Response): Promise<ApiError> {
    const body: unknown = await response.json().catch(() => undefined);
    const problem = typeof body === 'object' && body !== null ? (body as Partial<Problem>) : {};
    return new ApiError(response.status, problem, response.headers);
  }

  /** Whether the server may have carried out the call, or may carry out a retry with the same idempotency key. */
  get retryable(): boolean {
    if (this.code === 'too_many_changes') return true;
    return this.status === 0 || this.status >= 500 || [401, 408, 425, 429].includes(this.status);
  }

  /** First problem of a member of the body, by its JSON Pointer. */
  at(pointer: string): string | undefined {
    return this.errors.find((error) => error.pointer === pointer)?.detail;
  }
}

/** Returns the failure of a call to which there was no whole answer. */
export function failureOf(cause: unknown): ApiError {
  return ApiError.local(cause instanceof DOMException && cause.name === 'TimeoutError' ? 'timeout' : 'network');
}

/**
 * Returns the JSON of a successful response; `undefined` if the response has no body. A body that breaks off, or that is
 * no JSON (a proxy's page), is no answer of the server: the call may have succeeded, so it rejects like a lost response.
 */
export async function bodyOf(response: Response): Promise<unknown> {
  if (response.status === 204 || response.body === null || response.headers.get('content-length') === '0') return undefined;
  try {
    return (await response.json()) as unknown;
  } catch (cause) {
    throw failureOf(cause);
  }
}

/** Milliseconds of `Retry-After`, which is a number of seconds or a date. */
function retryAfterOf(headers: Headers | undefined): number | undefined {
  const value = headers?.get('retry-after');
  if (value === null || value === undefined) return undefined;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}
