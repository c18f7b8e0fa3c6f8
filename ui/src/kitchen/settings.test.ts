import { expect, it } from 'vitest';
import { defaultSettings, DEVICE_NAME_LENGTH, readSettings } from './settings';

const DEVICE = '019b0000-0000-4000-8000-000000000001';

it('reads what was kept', () => {
  const kept = { ...defaultSettings(DEVICE), name: 'Counter', volume: 40, ticket: '58', printOnAccept: true, choices: [15, 25] };
  expect(readSettings(JSON.stringify(kept), 'other')).toEqual(kept);
});

it.each([null, '', '{', 'null', '[]', '7'])('gives defaults for %j', (text) => {
  expect(readSettings(text, DEVICE)).toEqual(defaultSettings(DEVICE));
});

it('replaces wrong values by their defaults', () => {
  const wrong = { device: '<script>', name: 'x'.repeat(500), volume: 0, ticket: '57', printOnAccept: 'yes', choices: [1, 'a', null] };
  const read = readSettings(JSON.stringify(wrong), DEVICE);
  expect(read).toEqual({ ...defaultSettings(DEVICE), name: 'x'.repeat(DEVICE_NAME_LENGTH), choices: [1] });
});
