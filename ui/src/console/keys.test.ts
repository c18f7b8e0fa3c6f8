import { expect, it } from 'vitest';
import { actionOf, stepTo } from './keys';

const plain = { ctrlKey: false, metaKey: false, altKey: false, typing: false, dialog: false, shortcuts: true };

it('a key acts alone, outside of text and of dialogs', () => {
  expect(actionOf({ ...plain, key: 'j' })).toBe('next');
  expect(actionOf({ ...plain, key: 'k' })).toBe('previous');
  expect(actionOf({ ...plain, key: '/' })).toBe('search');
  expect(actionOf({ ...plain, key: '?' })).toBe('help');
  expect(actionOf({ ...plain, key: 'x' })).toBeUndefined();
  expect(actionOf({ ...plain, key: 'j', ctrlKey: true })).toBeUndefined();
  expect(actionOf({ ...plain, key: 'j', typing: true })).toBeUndefined();
  expect(actionOf({ ...plain, key: 'Escape', typing: true })).toBe('back');
  expect(actionOf({ ...plain, key: 'Escape', dialog: true })).toBeUndefined();
});

it('a step stays within the rows', () => {
  expect(stepTo(0, -1, 1)).toBeUndefined();
  expect(stepTo(3, -1, 1)).toBe(0);
  expect(stepTo(3, -1, -1)).toBe(2);
  expect(stepTo(3, 1, 1)).toBe(2);
  expect(stepTo(3, 2, 1)).toBe(2);
  expect(stepTo(3, 0, -1)).toBe(0);
});

it('no character is a shortcut when shortcuts are off', () => {
  const off = { ...plain, shortcuts: false };
  for (const key of ['j', 'k', '/', '?']) expect(actionOf({ ...off, key })).toBeUndefined();
  expect(actionOf({ ...off, key: 'Escape' })).toBe('back');
});
