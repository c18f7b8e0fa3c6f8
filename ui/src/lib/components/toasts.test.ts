import { afterEach, expect, it } from 'vitest';
import { openRegion, showToast, toasts } from './toasts.svelte';

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

function open(): { texts: () => string[]; close: () => void } {
  const region = {};
  const close = openRegion(region);
  ends.push(close);
  return { texts: () => toasts.shownIn(region).map((toast) => toast.text), close };
}

it('a toast appears in the region that opened last, and only there', () => {
  const page = open();
  ends.push(showToast({ text: 'Copied.', duration: 0 }));
  expect(page.texts()).toEqual(['Copied.']);
  const dialog = open();
  expect(page.texts()).toEqual([]);
  expect(dialog.texts()).toEqual(['Copied.']);
  ends.push(showToast({ text: 'Not saved.', duration: 0 }));
  expect(dialog.texts()).toEqual(['Copied.', 'Not saved.']);
  dialog.close();
  expect(page.texts()).toEqual(['Copied.', 'Not saved.']);
});

it('a dialog that closes below another one leaves the toasts where they are', () => {
  open();
  const below = open();
  const above = open();
  ends.push(showToast({ text: 'Copied.', duration: 0 }));
  below.close();
  expect(above.texts()).toEqual(['Copied.']);
});
