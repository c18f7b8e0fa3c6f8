// Checks one state of a page in every appearance: axe-core without findings, no horizontal scrolling at 400 % zoom, and
// targets that are large enough.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type axe from 'axe-core';
import type { Page } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

interface Appearance {
  name: string;
  media: Parameters<Page['emulateMedia']>[0];
}

export const APPEARANCES: Appearance[] = [
  { name: 'light', media: { colorScheme: 'light', forcedColors: 'none', contrast: 'no-preference' } },
  { name: 'dark', media: { colorScheme: 'dark', forcedColors: 'none', contrast: 'no-preference' } },
  { name: 'more contrast', media: { colorScheme: 'light', forcedColors: 'none', contrast: 'more' } },
  { name: 'forced colours', media: { colorScheme: 'dark', forcedColors: 'active', contrast: 'no-preference' } },
];

/** Width of a window of 1,280 pixels at 400 % zoom. */
const ZOOMED_WIDTH = 320;

async function findings(page: Page, contrast: boolean): Promise<string[]> {
  await page.evaluate(AXE);
  const options: axe.RunOptions = {
    runOnly: { type: 'tag', values: TAGS },
    resultTypes: ['violations'],
    rules: { 'color-contrast': { enabled: contrast } },
  };
  return page.evaluate(async (parameters) => {
    const { axe: run } = globalThis as unknown as { axe: typeof axe };
    const results = await run.run(document, parameters);
    return results.violations.flatMap((violation) =>
      violation.nodes.map((node) => `${violation.id}: ${node.html.slice(0, 160)}\n    ${node.failureSummary ?? ''}`),
    );
  }, options);
}

/** Returns what is wrong with the page's state, in every appearance. Empty: nothing. */
export async function accessibilityProblems(page: Page, state: string): Promise<string[]> {
  const problems: string[] = [];
  await page.emulateMedia({ reducedMotion: 'reduce' });
  for (const { name, media } of APPEARANCES) {
    await page.emulateMedia({ ...media, reducedMotion: 'reduce' });
    // With forced colours the browser draws the user's colours, while styles state those of the page.
    const contrast = media?.forcedColors !== 'active';
    problems.push(...(await findings(page, contrast)).map((finding) => `${state}, ${name}: ${finding}`));
  }
  await page.emulateMedia({ colorScheme: 'light', forcedColors: 'none', contrast: 'no-preference' });
  const size = page.viewportSize();
  await page.setViewportSize({ width: ZOOMED_WIDTH, height: 256 });
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (overflow > 0) problems.push(`${state}: scrolls horizontally by ${overflow} px at 400 % zoom`);
  if (size !== null) await page.setViewportSize(size);
  return problems;
}

/** Returns the controls that are smaller than `minimum` pixels in a direction. */
export async function smallTargets(page: Page, minimum: number): Promise<string[]> {
  return page.evaluate((least) => {
    const controls = document.querySelectorAll('button, a[href], select, input:not([type="hidden"]), [role="button"]');
    return [...controls].flatMap((control) => {
      const { width, height } = control.getBoundingClientRect();
      const visible = width > 1 && height > 1 && control.checkVisibility();
      if (!visible || (width >= least - 0.5 && height >= least - 0.5)) return [];
      return [`${Math.round(width)}×${Math.round(height)} ${control.outerHTML.slice(0, 120)}`];
    });
  }, minimum);
}
