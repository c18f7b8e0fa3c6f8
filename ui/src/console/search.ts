// What a text in the search box is: an order's id, a display code, an e-mail address, or none of them.

export type Search =
  | { kind: 'id'; id: string }
  | { kind: 'code'; code: string }
  | { kind: 'email'; email: string }
  | { kind: 'unknown' };

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** Five characters of Crockford's base 32. */
const CODE = /^[0-9A-HJKMNP-TV-Z]{5}$/;

/** Returns a display code as the server writes it: people read 0 as O, and 1 as I or L. */
function normalizedCode(text: string): string {
  return text.toUpperCase().replace(/[\s-]/g, '').replace(/O/g, '0').replace(/[IL]/g, '1');
}

export function classify(text: string): Search {
  const trimmed = text.trim();
  if (ID.test(trimmed)) return { kind: 'id', id: trimmed.toLowerCase() };
  if (trimmed.includes('@')) return { kind: 'email', email: trimmed };
  const code = normalizedCode(trimmed.replace(/^#/, ''));
  return CODE.test(code) ? { kind: 'code', code } : { kind: 'unknown' };
}
