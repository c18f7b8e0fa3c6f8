import { expect, it } from 'vitest';
import { classify } from './search';

it.each([
  ['01A22C07-28D4-7D82-A51D-7FCF3C4F8671', { kind: 'id', id: '01a22c07-28d4-7d82-a51d-7fcf3c4f8671' }],
  [' 4Z1KH ', { kind: 'code', code: '4Z1KH' }],
  ['#4z1kh', { kind: 'code', code: '4Z1KH' }],
  ['4zlk-h', { kind: 'code', code: '4Z1KH' }],
  ['o0O0o', { kind: 'code', code: '00000' }],
  ['asha@example.org', { kind: 'email', email: 'asha@example.org' }],
  ['٤z१kh', { kind: 'code', code: '4Z1KH' }],
  ['Östl1', { kind: 'unknown' }],
  ['4Z1K', { kind: 'unknown' }],
  ['4Z1KU', { kind: 'unknown' }],
  ['', { kind: 'unknown' }],
  ['<script>', { kind: 'unknown' }],
])('%s is %j', (text, expected) => {
  expect(classify(text)).toEqual(expected);
});
