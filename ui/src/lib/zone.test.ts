import { expect, it } from 'vitest';
import { zoneOffset } from './zone';

it.each([
  ['UTC', '2026-06-01T12:00:00.999Z', 0],
  ['Asia/Kolkata', '2026-06-01T12:00:00Z', 5.5],
  ['America/New_York', '2026-01-01T02:00:00Z', -5],
  ['Europe/London', '2026-10-25T00:59:59Z', 1],
  ['Europe/London', '2026-10-25T01:00:00Z', 0],
  ['Mars/Olympus', '2026-06-01T12:00:00Z', 0],
])('the offset of %s at %s is %d hours', (zone, at, hours) => {
  expect(zoneOffset(Date.parse(at), zone)).toBe(hours * 3_600_000);
});
