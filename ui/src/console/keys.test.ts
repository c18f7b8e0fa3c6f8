import { expect, it } from 'vitest';
import { actionOf, stepTo } from './keys';

const plain = { ctrlKey: false, metaKey: false, altKey: false, typing: false, dialog: false };

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
