import { describe, expect, it } from 'vitest';
import { Orders } from '../../tests/mock/orders';
import { actionOf, characterOf, directionOf, move, placeOf } from './keys';
import { ColumnBuilder } from './view';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const maker = new Orders(5);
const orders = [
  maker.make(NOW, { age: 300 }),
  maker.make(NOW, { age: 200 }),
  maker.make(NOW, { age: 100 }),
  maker.make(NOW, { status: 'ready_for_pickup' }),
];
const columns = new ColumnBuilder().build(orders, new Map(), '');

describe('letters', () => {
  it('do what the help says, in upper and lower case', () => {
    expect(actionOf('A')).toEqual({ kind: 'press', key: 'a' });
    expect(actionOf('z')).toEqual({ kind: 'undo' });
    expect(actionOf('?')).toEqual({ kind: 'help' });
    expect(actionOf('3')).toEqual({ kind: 'column', index: 2 });
    expect(actionOf('5')).toBeUndefined();
    expect(actionOf('x')).toBeUndefined();
  });

  it('are found by their place on a keyboard without Latin letters', () => {
    expect(characterOf({ key: 'ش', code: 'KeyA' })).toBe('a');
    expect(characterOf({ key: '٣', code: 'Digit3' })).toBe('3');
    expect(characterOf({ key: 'é', code: 'Digit2' })).toBe('2');
    expect(characterOf({ key: 'q', code: 'KeyA' })).toBe('q');
    expect(characterOf({ key: 'Shift', code: 'ShiftLeft' })).toBeUndefined();
  });
});

describe('arrow keys', () => {
  it('move inside a column and stop at its ends', () => {
    expect(move(columns, { column: 'new', index: 0 }, 'down')).toEqual({ column: 'new', index: 1 });
    expect(move(columns, { column: 'new', index: 2 }, 'down')).toEqual({ column: 'new', index: 2 });
    expect(move(columns, { column: 'new', index: 0 }, 'up')).toEqual({ column: 'new', index: 0 });
    expect(move(columns, { column: 'new', index: 0 }, 'last')).toEqual({ column: 'new', index: 2 });
    expect(move(columns, { column: 'new', index: 2 }, 'first')).toEqual({ column: 'new', index: 0 });
  });

  it('skip empty columns, and stay at the edge of the board', () => {
    expect(move(columns, { column: 'new', index: 2 }, 'right')).toEqual({ column: 'ready', index: 0 });
    expect(move(columns, { column: 'ready', index: 0 }, 'right')).toEqual({ column: 'ready', index: 0 });
    expect(move(columns, { column: 'ready', index: 0 }, 'left')).toEqual({ column: 'new', index: 0 });
  });

  it('begin at the first card, and lead nowhere on an empty board', () => {
    expect(move(columns, undefined, 'down')).toEqual({ column: 'new', index: 0 });
    expect(move(new ColumnBuilder().build([], new Map(), ''), undefined, 'down')).toBeUndefined();
  });

  it('follow the direction of the language', () => {
    expect(directionOf('ArrowLeft', false)).toBe('left');
    expect(directionOf('ArrowLeft', true)).toBe('right');
    expect(directionOf('Tab', true)).toBeUndefined();
  });
});

it('finds the place of a card', () => {
  expect(placeOf(columns, orders[1]?.id)).toEqual({ column: 'new', index: 1 });
  expect(placeOf(columns, 'unknown')).toBeUndefined();
});
