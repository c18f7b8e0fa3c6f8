// What a page showed at any time, also between two checks of a test.
import type { Page } from 'playwright-core';

/** Watches for a text from now on. Returns the function that returns whether the page has shown it. */
export async function watchFor(page: Page, text: string): Promise<() => Promise<boolean>> {
  const name = `seen:${text}`;
  await page.evaluate(
    ([key, wanted]) => {
      const seen = globalThis as unknown as Record<string, boolean>;
      const check = () => {
        if (document.body.textContent.includes(wanted)) seen[key] = true;
      };
      seen[key] = false;
      check();
      // The observer runs before the browser draws, so nothing is drawn unseen.
      new MutationObserver(check).observe(document.body, { childList: true, subtree: true, characterData: true });
    },
    [name, text] as const,
  );
  return () => page.evaluate((key) => (globalThis as unknown as Record<string, boolean>)[key] ?? true, name);
}
