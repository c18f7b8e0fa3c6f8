import { beforeEach, describe, expect, it, vi } from 'vitest';
import { createTrackingPath, openOrders, trackingPath } from './open-orders';

const calls: { path: string; query: unknown }[] = [];
let answers: { status: number; body: unknown }[] = [];

vi.mock('./api', async (original) => {
  const real = await original<typeof import('./api')>();
  const answer = async (path: string, init: { params: { query?: unknown } }) => {
    calls.push({ path, query: init.params.query });
    const next = answers.shift();
    if (next === undefined) throw new Error(`Nobody expects ${path}`);
    const response = new Response(null, { status: next.status });
    return next.status < 400 ? { data: next.body, response } : { error: next.body, response };
  };
  return { ...real, api: { POST: answer, GET: answer } };
});

beforeEach(() => {
  calls.length = 0;
  answers = [];
});

const link = (path: string) => ({ status: 201, body: { token: path.slice(3), path } });

describe('open orders', () => {
  it('are those that have not ended', async () => {
    answers = [{ status: 200, body: { orders: [{ id: 'one' }] } }];
    expect(await openOrders()).toEqual([{ id: 'one' }]);
    const { status } = calls[0]?.query as { status: string[] };
    expect(status).toContain('created');
    for (const ended of ['delivered', 'cancelled', 'refunded']) expect(status).not.toContain(ended);
  });

  it('get one tracking link per tab', async () => {
    answers = [link('/t/A'), link('/t/B')];
    expect(await trackingPath('first')).toBe('/t/A');
    expect(await trackingPath('first')).toBe('/t/A');
    expect(await trackingPath('second')).toBe('/t/B');
    expect(calls).toHaveLength(2);
  });

  it('use the link of their placing', async () => {
    answers = [link('/t/C')];
    await createTrackingPath('third');
    expect(await trackingPath('third')).toBe('/t/C');
    expect(calls).toHaveLength(1);
  });

  it('without a link ask for it again the next time', async () => {
    answers = [{ status: 503, body: { code: 'unavailable', status: 503 } }, link('/t/D')];
    await expect(trackingPath('fourth')).rejects.toMatchObject({ status: 503 });
    expect(await trackingPath('fourth')).toBe('/t/D');
  });
});
