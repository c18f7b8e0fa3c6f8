import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { addressOf, clientOf, requestOf } from './request';

beforeAll(() => vi.stubGlobal('location', { origin: 'https://dabba.test' }));
afterAll(() => vi.unstubAllGlobals());

describe('a call', () => {
  it('fills the path in, and escapes what could leave it', () => {
    expect(addressOf('/v1/orders/{order_id}/accept', { path: { order_id: 'a/../b c' } })).toBe(
      '/v1/orders/a%2F..%2Fb%20c/accept',
    );
  });

  it('repeats a parameter for each value of a list, and omits absent ones', () => {
    const query = { status: ['delivered', 'cancelled'], limit: 50, cursor: undefined };
    expect(addressOf('/v1/orders', { query })).toBe('/v1/orders?status=delivered&status=cancelled&limit=50');
  });

  it('sends body and headers', async () => {
    const call = { body: { a: 1 }, headers: { 'Idempotency-Key': 'k' }, params: { header: { 'If-Match': '"3"' } } };
    const request = requestOf('POST', '/v1/x', call);
    expect(request.method).toBe('POST');
    expect(request.headers.get('content-type')).toBe('application/json');
    expect(request.headers.get('idempotency-key')).toBe('k');
    expect(request.headers.get('if-match')).toBe('"3"');
    expect(await request.json()).toEqual({ a: 1 });
  });

  it('returns the body of a success, the problem of a refusal, and nothing for an empty answer', async () => {
    const answers = [
      Response.json({ id: 1 }),
      Response.json({ code: 'not_found' }, { status: 404 }),
      new Response(null, { status: 204 }),
    ];
    const paths: string[] = [];
    const client = clientOf(async (_, path) => {
      paths.push(path);
      return answers.shift() ?? Response.error();
    });
    expect(await client.GET('/v1/accounts/me')).toMatchObject({ data: { id: 1 } });
    expect(await client.GET('/v1/accounts/me')).toMatchObject({ error: { code: 'not_found' } });
    expect((await client.DELETE('/v1/session')).data).toBeUndefined();
    expect(paths).toEqual(['/v1/accounts/me', '/v1/accounts/me', '/v1/session']);
  });

  const broken = (reason: unknown) =>
    new Response(
      new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode('{"id":'));
          controller.error(reason);
        },
      }),
    );

  it.each([
    ['breaks off', broken(new TypeError('terminated')), 'network'],
    ['takes too long', broken(new DOMException('late', 'TimeoutError')), 'timeout'],
    ['is a proxy’s page', new Response('<html>'), 'network'],
  ])('whose answer %s is not a success', async (_, response, code) => {
    const client = clientOf(async () => response);
    await expect(client.GET('/v1/accounts/me')).rejects.toMatchObject({ status: 0, code });
  });

  it('is refused although the problem of the refusal breaks off', async () => {
    const client = clientOf(async () => new Response('{"code":', { status: 404 }));
    expect(await client.GET('/v1/accounts/me')).toMatchObject({ response: { status: 404 } });
  });
});
