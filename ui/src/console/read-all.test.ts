import { describe, expect, it } from 'vitest';
import { readAll } from './read-all';

/** A list of the numbers below `length`, in pages of ten. */
function listOf(length: number) {
  const cursors: (string | undefined)[] = [];
  const read = async ({ cursor }: { cursor?: string }) => {
    cursors.push(cursor);
    const start = Number(cursor ?? 0);
    const end = Math.min(start + 10, length);
    const items = Array.from({ length: end - start }, (_, index) => start + index);
    return { items, next_cursor: end < length ? String(end) : undefined, incomplete: start === 10 };
  };
  return { read, cursors };
}

describe('a list that is read as a whole', () => {
  it('has the entries of every page', async () => {
    const { read, cursors } = listOf(25);
    expect(await readAll(read)).toEqual({ items: Array.from({ length: 25 }, (_, index) => index), more: false, incomplete: true });
    expect(cursors).toEqual([undefined, '10', '20']);
  });

  it('ends at the maximum, and states that there is more', async () => {
    const { read, cursors } = listOf(25);
    const { items, more } = await readAll(read, 20);
    expect([items.length, more]).toEqual([20, true]);
    expect(cursors).toHaveLength(2);
    expect((await readAll(listOf(20).read, 20)).more).toBe(false);
  });

  it('may be empty', async () => {
    expect(await readAll(listOf(0).read)).toEqual({ items: [], more: false, incomplete: false });
  });
});
