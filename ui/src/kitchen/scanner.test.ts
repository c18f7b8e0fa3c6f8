import { beforeEach, describe, expect, it } from 'vitest';
import { KeyGate, SCANNER_GAP } from './scanner';

let now = 0;
let timers: { at: number; action: () => void }[] = [];
let keys: string[] = [];
let scans: string[] = [];
let gate: KeyGate;

function pass(milliseconds: number) {
  now += milliseconds;
  const due = timers.filter((timer) => timer.at <= now);
  timers = timers.filter((timer) => timer.at > now);
  for (const timer of due) timer.action();
}

function type(text: string, gap: number) {
  for (const key of text) {
    gate.character(key);
    pass(gap);
  }
}

beforeEach(() => {
  now = 0;
  timers = [];
  keys = [];
  scans = [];
  gate = new KeyGate({
    onKey: (key) => keys.push(key),
    onScan: (text) => scans.push(text),
    timers: {
      monotonic: () => now,
      wall: () => now,
      after(delay, action) {
        const timer = { at: now + delay, action };
        timers.push(timer);
        return () => (timers = timers.filter((other) => other !== timer));
      },
    },
  });
});

describe('a person', () => {
  it('gives a shortcut with each key', () => {
    type('ar', 200);
    expect(keys).toEqual(['a', 'r']);
  });

  it('presses buttons with Enter', () => {
    expect(gate.enter()).toBe(false);
    type('a', 400);
    expect(gate.enter()).toBe(false);
    expect(scans).toEqual([]);
  });
});

describe('a scanner', () => {
  it('gives no shortcut, presses nothing, and finds its code', () => {
    type('A7K2M', 8);
    expect(gate.enter()).toBe(true);
    pass(1_000);
    expect(keys).toEqual([]);
    expect(scans).toEqual(['A7K2M']);
  });

  it('gives no shortcut if its Enter is missing', () => {
    type('A7K2M', SCANNER_GAP);
    pass(1_000);
    expect(keys).toEqual([]);
    expect(gate.enter()).toBe(false);
  });

  it('presses nothing with a code that is too short', () => {
    type('A', 5);
    expect(gate.enter()).toBe(true);
    pass(1_000);
    expect([keys, scans]).toEqual([[], []]);
  });
});
