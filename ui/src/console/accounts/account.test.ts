import { expect, it } from 'vitest';
import { isActive, labelOf } from './account';

it('an account is named by its name, its e-mail address or its id', () => {
  expect(labelOf({ id: 'a1', name: 'Asha', email: 'asha@example.org' })).toBe('Asha');
  expect(labelOf({ id: 'a1', email: 'asha@example.org' })).toBe('asha@example.org');
  expect(labelOf({ id: 'a1' })).toBe('a1');
});

it('a key or session is active until it expires or is revoked', () => {
  const at = '2026-11-30T10:00:00Z';
  const now = Date.parse(at);
  expect(isActive({}, now)).toBe(true);
  expect(isActive({ expires_at: at }, now - 1)).toBe(true);
  expect(isActive({ expires_at: at }, now)).toBe(false);
  expect(isActive({ revoked_at: at, expires_at: '2027-01-01T00:00:00Z' }, now)).toBe(false);
});
