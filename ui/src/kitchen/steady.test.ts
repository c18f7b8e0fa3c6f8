import { beforeEach, describe, expect, it } from 'vitest';
import { ManualTimers } from '../lib/testing/timers';
import { MAXIMUM_FREEZE, REACTION, REST, Steady, type Box } from './steady';

let timers: ManualTimers;
let frozen: boolean;
let steady: Steady<string>;

beforeEach(() => {
  timers = new ManualTimers();
  frozen = false;
  steady = new Steady((next) => (frozen = next), timers);
});

describe('the place of the bars', () => {
  it('keeps its size while a finger is down, and for a moment after it', async () => {
    steady.down(0, 0, undefined);
    expect(frozen).toBe(true);
    await timers.advance(1_000);
    steady.up();
    await timers.advance(REST - 1);
    expect(frozen).toBe(true);
    await timers.advance(1);
    expect(frozen).toBe(false);
  });

  it('keeps its size through taps that follow each other, but not for ever', async () => {
    for (let tap = 0; tap * 400 < MAXIMUM_FREEZE - 400; tap += 1) {
      steady.down(0, 0, undefined);
      steady.up();
      await timers.advance(400);
      expect(frozen).toBe(true);
    }
    steady.down(0, 0, undefined);
    await timers.advance(400);
    expect(frozen).toBe(false);
  });
});

/** Cards of 200 by 100 pixels, one below the other, from a place on. */
function cards(names: string, top = 0): Map<string, Box> {
  return new Map([...names].map((name, index) => [name, { x: 0, y: top + index * 100, width: 200, height: 100 }]));
}

/** The button of a card, 40 pixels high, at its bottom. */
function buttonOf(name: string, boxes: Map<string, Box>) {
  const { x, y, width } = boxes.get(name) as Box;
  return { block: name, box: { x, y: y + 60, width, height: 40 } };
}

/** Taps a place at which the button of a card is now. */
function tap(y: number, name: string, boxes: Map<string, Box>): boolean {
  steady.down(50, y, buttonOf(name, boxes));
  return steady.takeMissed();
}

describe('a tap soon after something moved', () => {
  it('is missed if the control was elsewhere', async () => {
    steady.note(cards('abc'));
    const after = cards('bc');
    steady.note(after);
    await timers.advance(REACTION - 1);
    expect(tap(80, 'b', after)).toBe(true);
    // A click by the keyboard follows no touch.
    expect(steady.takeMissed()).toBe(false);
  });

  it('is missed if the card was not there', () => {
    steady.note(cards('ab'));
    const after = cards('nab');
    steady.note(after);
    expect(tap(80, 'n', after)).toBe(true);
  });

  it('counts if the same control is still under the finger', () => {
    steady.note(cards('abc'));
    const after = cards('abc', 20);
    steady.note(after);
    expect(tap(90, 'a', after)).toBe(false);
    expect(tap(110, 'a', after)).toBe(true);
    const fewer = cards('ab', 20);
    steady.note(fewer);
    expect(tap(90, 'a', fewer)).toBe(false);
  });

  it('counts where nothing was', () => {
    steady.note(cards('a'));
    const after = cards('ab');
    steady.note(after);
    expect(tap(180, 'b', after)).toBe(false);
  });

  it('is missed after the second of two movements, too', async () => {
    steady.note(cards('abc'));
    steady.note(cards('bc'));
    await timers.advance(REACTION - 50);
    const after = cards('c');
    steady.note(after);
    await timers.advance(100);
    expect(tap(80, 'c', after)).toBe(true);
  });
});

describe('a tap that counts', () => {
  it('is one after the time to react', async () => {
    steady.note(cards('abc'));
    const after = cards('bc');
    steady.note(after);
    await timers.advance(REACTION);
    expect(tap(80, 'b', after)).toBe(false);
  });

  it('is one after the person has scrolled', () => {
    steady.note(cards('abc'));
    const after = cards('abc', -100);
    steady.note(after, true);
    expect(tap(80, 'b', after)).toBe(false);
  });
});
