import { describe, expect, it } from 'vitest';
import { decodePart, idOf, ownPath, parseLoginFragment } from './address';

const ORIGIN = 'https://dabba.example';

describe('the next page', () => {
  it.each([
    ['/kitchen/1', '/kitchen/1'],
    ['/console/orders?status=new#top', '/console/orders?status=new#top'],
    ['/../login', '/login'],
  ])('%s is a path of this server', (next, path) => {
    expect(ownPath(next, ORIGIN)).toBe(path);
  });

  it.each([
    'https://evil.example/',
    '//evil.example/',
    '/\\evil.example/',
    '/\t/evil.example',
    '/.//evil.example',
    '/kitchen/..//evil.example',
    'javascript:alert(1)',
    'kitchen/1',
    '',
    null,
  ])('%j leads elsewhere', (next) => {
    expect(ownPath(next, ORIGIN)).toBeUndefined();
  });
});

describe('the fragment of the sign-in page', () => {
  it.each([
    ['', {}],
    ['#abc-_9', { token: 'abc-_9' }],
    ['#abc&next=/kitchen/1', { token: 'abc', next: '/kitchen/1' }],
    ['#next=%2Fkitchen%2F1%3Fa%3Db', { next: '/kitchen/1?a=b' }],
    ['#abc&next=//evil.example', { token: 'abc' }],
    ['#content', {}],
  ])('%j is %j', (hash, parsed) => {
    expect(parseLoginFragment(hash, ORIGIN)).toEqual(parsed);
  });
});

describe('a part of a path', () => {
  it('is decoded, and stays as it is if its encoding is wrong', () => {
    expect(['a%20b', '%', '%C3%28', 'plain'].map(decodePart)).toEqual(['a b', '%', '%C3%28', 'plain']);
  });
});

describe('the id in a path', () => {
  it('is the part after the name of the page, decoded', () => {
    expect(idOf('order', '/order/019b')).toBe('019b');
    expect(idOf('t', '/t/a%2Fb/further')).toBe('a/b');
    expect(idOf('t', '/t/%')).toBe('%');
  });

  it.each(['/order', '/order/', '/kitchen/019b', '/'])('is absent in %s', (path) => {
    expect(idOf('order', path)).toBeUndefined();
  });
});
