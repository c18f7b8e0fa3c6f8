// What a text in the search box is: an order's id, a display code, an e-mail address, or none of them.
import { normalizeCode } from '../lib/digits';

export type Search =
  | { kind: 'id'; id: string }
  | { kind: 'code'; code: string }
  | { kind: 'email'; email: string }
  | { kind: 'unknown' };

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** Five characters of Crockford's base 32. */
const CODE = /^[0-9A-HJKMNP-TV-Z]{5}$/;

export function classify(text: string): Search {
  const trimmed = text.trim();
  if (ID.test(trimmed)) return { kind: 'id', id: trimmed.toLowerCase() };
  if (trimmed.includes('@')) return { kind: 'email', email: trimmed };
  const code = normalizeCode(trimmed);
  return CODE.test(code) ? { kind: 'code', code } : { kind: 'unknown' };
}
