import { describe, expect, it } from 'vitest';
import { merge } from './livelist';

const entry = (id: string, version = 1) => ({ id, version });

describe('a live list', () => {
  it('changes rows in place', () => {
    const { rows, waiting, changed } = merge([entry('a'), entry('b'), entry('c')], [], [entry('c', 2), entry('a', 3)]);
    expect(rows).toEqual([entry('a', 3), entry('b'), entry('c', 2)]);
    expect(waiting).toEqual([]);
    expect(changed).toBe(true);
  });

  it('lets new entries wait, each once and in its newest version', () => {
    const first = merge([entry('a')], [], [entry('n'), entry('m')]);
    expect(first.rows).toEqual([entry('a')]);
    expect(first.changed).toBe(false);
    const second = merge(first.rows, first.waiting, [entry('n', 2), entry('o')]);
    expect(second.waiting).toEqual([entry('n', 2), entry('m'), entry('o')]);
  });

  it('ignores a version that arrives late', () => {
    const { rows, waiting, changed } = merge([entry('a', 5)], [entry('n', 4)], [entry('a', 4), entry('n', 3)]);
    expect(rows).toEqual([entry('a', 5)]);
    expect(waiting).toEqual([entry('n', 4)]);
    expect(changed).toBe(false);
  });

  it('keeps a row that was not read', () => {
    expect(merge([entry('a')], [], []).rows).toEqual([entry('a')]);
  });
});
