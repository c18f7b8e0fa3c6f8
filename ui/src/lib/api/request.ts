// The part of openapi-fetch that the pages use: its types, and nothing of its code, which would be a tenth of a page's
// budget. A call fills the path's parameters in, writes the query and the body, and reads the body of the answer.
import type createClient from 'openapi-fetch';
import type { Paths } from './contract';
import { bodyOf } from './error';

export type Client = Pick<ReturnType<typeof createClient<Paths>>, 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'>;

interface Call {
  params?: { path?: Record<string, unknown>; query?: Record<string, unknown>; header?: Record<string, unknown> };
  body?: unknown;
  headers?: Record<string, unknown>;
  signal?: AbortSignal;
}

/** Returns the address of a call: the path with its parameters, and the query; a list repeats its parameter. */
export function addressOf(path: string, params: Call['params'] = {}): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(params.path?.[name])));
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params.query ?? {})) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) query.append(name, String(one));
  }
  const text = query.toString();
  return text === '' ? filled : `${filled}?${text}`;
}

/** Returns the request of a call. */
export function requestOf(method: string, path: string, call: Call = {}): Request {
  const headers = new Headers();
  for (const [name, value] of Object.entries({ ...call.params?.header, ...call.headers })) {
    if (value !== undefined && value !== null) headers.set(name, String(value));
  }
  const init: RequestInit = { method, headers };
  if (call.body !== undefined) {
    headers.set('Content-Type', 'application/json');
    init.body = JSON.stringify(call.body);
  }
  if (call.signal !== undefined) init.signal = call.signal;
  return new Request(new URL(addressOf(path, call.params), location.origin), init);
}

/** Creates the client. `send` sends a request of an operation, which its path in the API's description names. */
export function clientOf(send: (request: Request, path: string) => Promise<Response>): Client {
  const method = (name: string) => async (path: string, call?: Call) => {
    const response = await send(requestOf(name, path, call), path);
    if (response.ok) return { data: await bodyOf(response), response };
    return { error: (await response.json().catch(() => undefined)) as unknown, response };
  };
  const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].map((name) => [name, method(name)]);
  return Object.fromEntries(methods) as Client;
}
