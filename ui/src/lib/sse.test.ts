import { describe, expect, it } from 'vitest';
import { EventStream, reconnectDelay, SILENCE_LIMIT, type StreamOptions, type StreamState } from './sse';
import type { StreamEvent } from './sse-parser';
import { FakeStreamServer } from './testing/stream';
import { ManualTimers, settle } from './testing/timers';

function start(options: Pick<StreamOptions, 'initial'> = {}) {
  const timers = new ManualTimers();
  const server = new FakeStreamServer();
  const states: StreamState[] = [];
  const events: StreamEvent[] = [];
  const network = { online: true };
  const stream = new EventStream({
    url: '/stream',
    onMessage: (event) => events.push(event),
    onState: (state) => states.push(state),
    timers,
    random: () => 0,
    open: server.open,
    online: () => network.online,
    ...options,
  });
  return { timers, server, states, events, network, stream, status: () => stream.state.status };
}

async function live() {
  const page = start();
  await settle();
  page.server.last.send('heartbeat', {});
  await settle();
  expect(page.status()).toBe('live');
  return page;
}

describe('a stream', () => {
  it('is connecting until the first message, then live', async () => {
    const { server, stream, events } = start();
    expect(stream.state).toEqual({ status: 'connecting' });
    await settle();
    server.last.send('snapshot', { part: 1 });
    await settle();
    expect(stream.state).toEqual({ status: 'live' });
    expect(events).toEqual([{ event: 'snapshot', data: '{"part":1}', id: undefined }]);
  });

  it('stays live during the first reconnection, and is stale when that fails', async () => {
    const { server, timers, status, stream } = await live();
    const since = timers.monotonic();
    server.answers.push(new TypeError('refused'));
    server.last.break();
    await settle();
    expect(status()).toBe('live');
    await timers.advance(500);
    expect(server.connections).toHaveLength(2);
    expect(stream.state).toEqual({ status: 'stale', since });
    await timers.advance(500);
    server.last.send('snapshot', {});
    await settle();
    expect(status()).toBe('live');
  });

  it('is stale and reconnects after 25 s of silence', async () => {
    const { server, timers, status } = await live();
    await timers.advance(SILENCE_LIMIT - 1_000);
    expect(status()).toBe('live');
    expect(server.connections).toHaveLength(1);
    await timers.advance(2_000);
    expect(status()).toBe('stale');
    expect(server.connections).toHaveLength(2);
    expect(server.connections[0]?.signal.aborted).toBe(true);
  });

  it('replaces a connection whose response never ends and never speaks', async () => {
    const { server, timers } = start();
    await timers.advance(SILENCE_LIMIT + 1_000);
    expect(server.connections).toHaveLength(2);
    await timers.advance(SILENCE_LIMIT + 1_000);
    expect(server.connections).toHaveLength(3);
  });

  it('does not take a suspension for silence if messages have waited', async () => {
    const { server, timers, status, states } = await live();
    timers.suspend(120_000);
    await timers.advance(0);
    server.last.send('heartbeat', {});
    await timers.advance(3_000);
    expect(status()).toBe('live');
    expect(states.map((state) => state.status)).toEqual(['live']);
    expect(server.connections).toHaveLength(1);
  });

  it('reconnects after a suspension if no messages have waited', async () => {
    const { server, timers, status } = await live();
    timers.suspend(120_000);
    await timers.advance(0);
    expect(status()).toBe('live');
    await timers.advance(1_000);
    expect(status()).toBe('stale');
    expect(server.connections).toHaveLength(2);
  });

  it('finds silence although the browser runs its timers once a minute', async () => {
    const { server, timers, status } = await live();
    for (let minute = 0; minute < 2; minute += 1) {
      timers.suspend(60_000);
      await timers.advance(0);
    }
    expect(status()).toBe('stale');
    expect(server.connections).toHaveLength(2);
  });

  it('waits as long as the server asks in its last message', async () => {
    const { server, timers } = await live();
    server.last.send('bye', { reason: 'shutdown', retry_after_ms: 3_000 });
    server.last.end();
    await timers.advance(3_400);
    expect(server.connections).toHaveLength(1);
    await timers.advance(200);
    expect(server.connections).toHaveLength(2);
  });

  it('does not take the last message of a connection for data', async () => {
    const { server, timers, stream, states, events } = await live();
    const since = timers.monotonic();
    server.last.break();
    await settle();
    for (let connection = 2; connection <= 4; connection += 1) {
      await timers.advance(500);
      expect(server.connections).toHaveLength(connection);
      server.last.send('bye', { reason: 'shutdown', retry_after_ms: 0 });
      server.last.end();
      await settle();
      expect(stream.state).toEqual({ status: 'stale', since });
    }
    expect(states.map(({ status }) => status)).toEqual(['live', 'stale']);
    expect(events.map(({ event }) => event)).toEqual(['heartbeat']);
  });

  it('waits longer after each connection that only says that it ends', async () => {
    const timers = new ManualTimers();
    const server = new FakeStreamServer();
    const options = { url: '/stream', onMessage: () => undefined, onState: () => undefined, timers, online: () => true };
    const stream = new EventStream({ ...options, random: () => 1, open: server.open });
    for (const [index, pause] of [1_000, 2_000, 4_000].entries()) {
      await settle();
      server.last.send('bye', { retry_after_ms: 0 });
      server.last.end();
      await timers.advance(pause - 1);
      expect(server.connections).toHaveLength(index + 1);
      await timers.advance(1);
      expect(server.connections).toHaveLength(index + 2);
    }
    stream.close();
  });

  it('releases a connection whose message cannot be handled, and waits longer each time', async () => {
    const timers = new ManualTimers();
    const server = new FakeStreamServer();
    const stream = new EventStream({
      url: '/stream',
      onMessage() {
        throw new TypeError('unexpected');
      },
      onState: () => undefined,
      timers,
      random: () => 1,
      open: server.open,
      online: () => true,
    });
    for (const [index, pause] of [1_000, 2_000, 4_000].entries()) {
      await settle();
      server.last.send('snapshot', {});
      await settle();
      expect(server.last.signal.aborted).toBe(true);
      await timers.advance(pause - 1);
      expect(server.connections).toHaveLength(index + 1);
      await timers.advance(1);
      expect(server.connections).toHaveLength(index + 2);
    }
    stream.close();
  });

  it('waits as long as Retry-After asks', async () => {
    const { server, timers } = await live();
    server.answers.push(new Response('{"code":"overloaded"}', { status: 503, headers: { 'retry-after': '4' } }));
    server.last.break();
    await timers.advance(500);
    expect(server.connections).toHaveLength(2);
    await timers.advance(4_400);
    expect(server.connections).toHaveLength(2);
    await timers.advance(200);
    expect(server.connections).toHaveLength(3);
  });

  it.each([401, 403, 404])('ends when the server refuses it with %i', async (status) => {
    const { server, timers, stream } = await live();
    server.answers.push(new Response('{"code":"some_code"}', { status }));
    server.last.break();
    await timers.advance(120_000);
    expect(stream.state).toMatchObject({ status: 'ended', error: { status, code: 'some_code' } });
    expect(server.connections).toHaveLength(2);
  });

  it('is offline without a network, and connects at once when there is one', async () => {
    const { server, timers, network, stream, status } = await live();
    const since = timers.monotonic();
    network.online = false;
    stream.networkLost();
    expect(stream.state).toEqual({ status: 'offline', since });
    network.online = true;
    stream.reconnect();
    await settle();
    server.last.send('snapshot', {});
    await settle();
    expect(status()).toBe('live');
  });

  it('counts the messages of an earlier stream for its silence', async () => {
    const { timers, stream } = start({ initial: { state: { status: 'live' }, lastMessage: 1_000 } });
    await timers.advance(SILENCE_LIMIT - 1_000);
    expect(stream.state.status).toBe('live');
    await timers.advance(1_000);
    expect(stream.state).toEqual({ status: 'stale', since: 1_000 });
  });

  it('says that it is live again if an earlier stream was stale', async () => {
    const { server, states } = start({ initial: { state: { status: 'stale', since: 1 }, lastMessage: 1 } });
    await settle();
    server.last.send('snapshot', {});
    await settle();
    expect(states).toEqual([{ status: 'live' }]);
  });

  it('calls nothing after it was closed', async () => {
    const { server, timers, stream, states } = await live();
    stream.close();
    await timers.advance(120_000);
    expect(server.connections).toHaveLength(1);
    expect(states).toHaveLength(1);
  });
});

describe('the delay of a reconnection', () => {
  it('is between half a second and a bound that grows to ten seconds', () => {
    const bounds = [0, 1, 2, 3, 4, 50].map((attempt) => [reconnectDelay(attempt, 0), reconnectDelay(attempt, 1)]);
    expect(bounds).toEqual([
      [500, 1_000],
      [500, 2_000],
      [500, 4_000],
      [500, 8_000],
      [500, 10_000],
      [500, 10_000],
    ]);
  });
});
