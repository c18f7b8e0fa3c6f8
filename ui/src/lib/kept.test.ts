import { describe, expect, it } from 'vitest';
import { Kept } from './kept';

/** A storage that can be switched off and filled up. */
function storage() {
  const texts = new Map<string, string>();
  const state = { blocked: false, full: false };
  const area = () => {
    if (state.blocked) throw new DOMException('denied', 'SecurityError');
    return {
      getItem: (key: string) => texts.get(key) ?? null,
      setItem: (key: string, text: string) => {
        if (state.full) throw new DOMException('full', 'QuotaExceededError');
        texts.set(key, text);
      },
      removeItem: (key: string) => texts.delete(key),
      key: (index: number) => [...texts.keys()][index] ?? null,
      length: texts.size,
    } as unknown as Storage;
  };
  return { texts, state, kept: new Kept(area) };
}

describe('what a browser keeps', () => {
  it('is in its storage', () => {
    const { texts, kept } = storage();
    kept.set('a', 'one');
    expect(texts.get('a')).toBe('one');
    expect(kept.get('a')).toBe('one');
    kept.delete('a');
    expect(kept.get('a')).toBeNull();
  });

  it('is deleted by the prefix of its keys, also if the storage refused to keep it', () => {
    const { texts, state, kept } = storage();
    for (const key of ['person.a', 'person.b', 'device']) kept.set(key, key);
    state.full = true;
    kept.set('person.c', 'c');
    kept.deleteAll('person.');
    expect([...texts.keys()]).toEqual(['device']);
    expect(['person.a', 'person.c', 'device'].map((key) => kept.get(key))).toEqual([null, null, 'device']);
    state.blocked = true;
    kept.set('person.d', 'd');
    kept.deleteAll('person.');
    expect(kept.get('person.d')).toBeNull();
  });

  it('lives as long as the page if the storage is blocked', () => {
    const { state, kept } = storage();
    state.blocked = true;
    expect(kept.get('a')).toBeNull();
    kept.set('a', 'one');
    expect(kept.get('a')).toBe('one');
    kept.delete('a');
    expect(kept.get('a')).toBeNull();
  });

  it('is the latest text, also if the storage is full', () => {
    const { texts, state, kept } = storage();
    kept.set('a', 'one');
    state.full = true;
    kept.set('a', 'two');
    expect(texts.get('a')).toBe('one');
    expect(kept.get('a')).toBe('two');
    state.full = false;
    kept.set('a', 'three');
    expect(texts.get('a')).toBe('three');
    expect(kept.get('a')).toBe('three');
  });
});
