import { beforeEach, describe, expect, it } from 'vitest';
import { Frames, HIDDEN_INTERVAL, MAXIMUM_HOLD } from './frames';

let now = 0;
let hidden = false;
let updates = 0;
let waiting: (() => void)[] = [];
let timers: { at: number; action: () => void }[] = [];
let frames: Frames;

function frame() {
  for (const action of waiting.splice(0)) action();
}
function pass(milliseconds: number) {
  now += milliseconds;
  const due = timers.filter((timer) => timer.at <= now);
  timers = timers.filter((timer) => timer.at > now);
  for (const timer of due) timer.action();
}

beforeEach(() => {
  now = 0;
  hidden = false;
  updates = 0;
  waiting = [];
  timers = [];
  frames = new Frames(() => (updates += 1), {
    frame: (action) => waiting.push(action),
    after: (delay, action) => void timers.push({ at: now + delay, action }),
    hidden: () => hidden,
    monotonic: () => now,
  });
});

describe('updates', () => {
  it('happen once per frame, however often they are requested', () => {
    for (let index = 0; index < 50; index += 1) frames.request();
    expect(updates).toBe(0);
    frame();
    pass(HIDDEN_INTERVAL);
    expect(updates).toBe(1);
  });

  it('happen in a hidden page, which gets no frames', () => {
    hidden = true;
    frames.request();
    pass(HIDDEN_INTERVAL);
    expect(updates).toBe(1);
  });

  it('happen if the page is hidden before its frame comes', () => {
    frames.request();
    pass(HIDDEN_INTERVAL);
    expect(updates).toBe(1);
    frame();
    expect(updates).toBe(1);
  });
});

describe('a finger on the page', () => {
  it('holds updates back until it leaves', () => {
    frames.hold();
    frames.request();
    frame();
    expect(updates).toBe(0);
    frames.release();
    frame();
    expect(updates).toBe(1);
  });

  it('holds them for a bounded time', () => {
    frames.hold();
    frames.request();
    frame();
    pass(MAXIMUM_HOLD);
    frame();
    expect(updates).toBe(1);
  });
});
