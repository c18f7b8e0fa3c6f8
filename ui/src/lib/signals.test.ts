import { expect, it } from 'vitest';
import { anySignal } from './signals';

it('aborts with the first signal and its reason', () => {
  const first = new AbortController();
  const second = new AbortController();
  const signal = anySignal(first.signal, second.signal);
  expect(signal.aborted).toBe(false);
  second.abort('second');
  first.abort('first');
  expect(signal.reason).toBe('second');
});

it('is aborted at once if a signal already is', () => {
  expect(anySignal(new AbortController().signal, AbortSignal.abort('early')).reason).toBe('early');
});
