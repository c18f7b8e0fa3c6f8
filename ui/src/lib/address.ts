// Addresses within this server's pages.

/**
 * Returns `next` as a path of this origin, or `undefined` if it leads elsewhere. A link must not be able to send a person
 * who has just signed in to another server.
 */
export function ownPath(next: string | null | undefined, origin = location.origin): string | undefined {
  if (next === null || next === undefined || !next.startsWith('/')) return undefined;
  try {
    const url = new URL(next, origin);
    // `/.//host` has this origin and the path `//host`, which a browser would read as the address of another server.
    if (url.origin !== origin || url.pathname.startsWith('//')) return undefined;
    return url.pathname + url.search + url.hash;
  } catch {
    return undefined;
  }
}

/** Returns `ID` of a path such as `/order/ID`, whose first part is `first`; `undefined` if the path is no such one. */
export function idOf(first: string, path = location.pathname): string | undefined {
  const [, page, id = ''] = path.split('/');
  return page === first && id !== '' ? decodePart(id) : undefined;
}

/** Fragment of the link that skips to the content of a page. */
const CONTENT = 'content';

/**
 * Returns what the fragment of the sign-in page says: `#TOKEN`, `#TOKEN&next=/kitchen/ID` or `#next=/kitchen/ID`. The
 * fragment of the skip link is no token.
 */
export function parseLoginFragment(hash: string, origin = location.origin): { token?: string; next?: string } {
  const [first = '', ...rest] = hash.replace(/^#/, '').split('&');
  const parts = first.includes('=') ? [first, ...rest] : rest;
  const next = ownPath(new URLSearchParams(parts.join('&')).get('next'), origin);
  return {
    ...(first === '' || first === CONTENT || first.includes('=') ? {} : { token: first }),
    ...(next === undefined ? {} : { next }),
  };
}

/** Returns a part of a path as text. A part that is not encoded correctly, such as `%`, is the text itself. */
export function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
