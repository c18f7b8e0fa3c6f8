import { expect, it } from 'vitest';
import { OBSERVATION_LIFETIME, ServerClock } from './clock';
import { ManualTimers } from './testing/timers';

const SERVER = Date.parse('2026-11-30T09:00:00Z');

function start() {
  const timers = new ManualTimers(Date.parse('2019-01-01T00:00:00Z'));
  const clock = new ServerClock(timers);
  /** Observes the server's time of a message that was under way for `latency`. */
  const observe = (serverTime: number, latency = 0) => clock.observe(new Date(serverTime - latency).toISOString());
  return { timers, clock, observe };
}

it('is the time of the device until a message states the time of the server', () => {
  const { timers, clock, observe } = start();
  expect(clock.synchronized).toBe(false);
  expect(clock.now()).toBe(timers.wall());
  observe(SERVER);
  expect(clock.synchronized).toBe(true);
  expect(clock.now()).toBe(SERVER);
});

it('goes on without messages, whatever the clock of the device does', async () => {
  const { timers, clock, observe } = start();
  observe(SERVER);
  await timers.advance(90_000);
  timers.setWall(0);
  expect(clock.now()).toBe(SERVER + 90_000);
  expect(clock.until(new Date(SERVER + 100_000).toISOString())).toBe(10_000);
});

it('believes the message with the least delay', async () => {
  const { timers, clock, observe } = start();
  observe(SERVER, 800);
  await timers.advance(10_000);
  observe(SERVER + 10_000, 20);
  await timers.advance(10_000);
  observe(SERVER + 20_000, 3_000);
  expect(clock.now()).toBe(SERVER + 20_000 - 20);
});

it('follows a clock that advanced at once, and one that went back after a minute', async () => {
  const { timers, clock, observe } = start();
  observe(SERVER);
  observe(SERVER + 3_600_000);
  expect(clock.now()).toBe(SERVER + 3_600_000);
  await timers.advance(OBSERVATION_LIFETIME);
  observe(SERVER);
  expect(clock.now()).toBe(SERVER);
});

it('ignores a time that is none', () => {
  const { clock } = start();
  clock.observe('soon');
  expect(clock.synchronized).toBe(false);
});
