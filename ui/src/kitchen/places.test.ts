import { beforeEach, describe, expect, it } from 'vitest';
import { ManualTimers } from '../lib/testing/timers';
import { Places, type Box, type Boxes } from './places';
import { REACTION } from './steady';

let timers: ManualTimers;
let places: Places;

/** Cards of 100 by 100 pixels below each other. */
function column(...cards: string[]): Boxes {
  return new Map(cards.map((card, index) => [card, box(index * 100)]));
}
function box(origin: number): Box {
  return { left: 0, right: 100, origin, top: Math.max(0, origin), bottom: origin + 100 };
}
function tap(x: number, y: number) {
  places.down();
  return places.takeAim(x, y);
}

beforeEach(() => {
  timers = new ManualTimers();
  places = new Places(timers);
  places.changed(column('a', 'b', 'c'));
});

describe('a tap', () => {
  it('means what it is on while nothing moves', () => {
    places.changed(column('a', 'b', 'c'));
    expect(tap(50, 150)).toBeUndefined();
  });

  it('soon after a card has left may mean what was there before', async () => {
    places.changed(column('b', 'c'));
    await timers.advance(REACTION - 1);
    expect(tap(50, 150)).toEqual({ card: 'b', x: 50, y: 50 });
    expect(places.locate({ card: 'b', x: 50, y: 50 })).toEqual({ x: 50, y: 50 });
    // The card that left is nowhere.
    expect(places.locate({ card: 'a', x: 50, y: 50 })).toBeUndefined();
  });

  it('after several movements means the place before the first of them', async () => {
    places.changed(column('b', 'c'));
    await timers.advance(REACTION / 2);
    places.changed(column('c'));
    expect(tap(50, 250)?.card).toBe('c');
    await timers.advance(REACTION / 2);
    expect(tap(50, 150)?.card).toBe('c');
  });

  it('later means what it is on', async () => {
    places.changed(column('b', 'c'));
    await timers.advance(REACTION);
    expect(tap(50, 150)).toBeUndefined();
  });

  it('on a place where no card was means what it is on, and so does the next click without a touch', () => {
    places.changed(column('b', 'c'));
    expect(tap(50, 350)).toBeUndefined();
    places.down();
    places.takeAim(50, 50);
    expect(places.takeAim(50, 50)).toBeUndefined();
  });

  it('after the person has moved the cards means what it is on', () => {
    places.changed(column('b', 'c'));
    places.arranged(column('c'));
    expect(tap(50, 50)).toBeUndefined();
  });

  it('after scrolling means what it is on, but the movements before it count', () => {
    places.scrolled(column('b', 'c'));
    expect(tap(50, 50)).toBeUndefined();
    places.changed(column('c'));
    places.scrolled(column('c'));
    expect(tap(50, 150)?.card).toBe('c');
  });

  it('means what it is on when a card was only added', () => {
    places.changed(column('a', 'b', 'c', 'd'));
    expect(tap(50, 150)).toBeUndefined();
  });
});

it('does not locate what is outside of the window of its column', () => {
  places.changed(new Map([['a', box(-40)]]));
  expect(places.locate({ card: 'a', x: 10, y: 30 })).toBeUndefined();
  expect(places.locate({ card: 'a', x: 10, y: 50 })).toEqual({ x: 10, y: 10 });
});
