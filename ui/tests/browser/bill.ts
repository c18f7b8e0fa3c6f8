// Reads the bill that a page shows: names and amounts, and what they add up to.
import type { Locator } from 'playwright-core';

/** Returns text without the characters that only control direction: names are isolated from the text around them. */
export const plain = (text: string): string => text.replace(/[\u2066-\u2069]/g, '');

/** Returns the rows of a list of names and values. */
export async function billRows(list: Locator): Promise<string[][]> {
  await list.waitFor();
  const rows = await list.evaluate((element) => {
    const text = (part: Element) => (part.textContent ?? '').trim();
    return [...element.querySelectorAll('dt')].map((name) => [text(name), name.nextElementSibling ? text(name.nextElementSibling) : '']);
  });
  return rows.map((row) => row.map(plain));
}
