/**
 * Returns text of a menu, an order or an account for use inside a sentence of the page. The isolate keeps a name in
 * another script from changing the order of the words around it.
 */
export function isolate(text: string): string {
  return `\u2068${text}\u2069`;
}
