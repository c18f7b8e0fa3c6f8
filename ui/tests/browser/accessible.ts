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

/** The rules whose result depends on colours. Every other rule reads the document and its layout. */
const COLOUR_RULES = ['color-contrast', 'link-in-text-block'];

type Rules = 'all' | 'all but contrast' | 'colours';

function optionsOf(rules: Rules): axe.RunOptions {
  if (rules === 'colours') return { runOnly: { type: 'rule', values: COLOUR_RULES }, resultTypes: ['violations'] };
  return {
    runOnly: { type: 'tag', values: TAGS },
    resultTypes: ['violations'],
    rules: { 'color-contrast': { enabled: rules === 'all' } },
  };
}

async function findings(page: Page, rules: Rules): Promise<string[]> {
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(AXE);
  return page.evaluate(async (parameters) => {
    const { axe: run } = globalThis as unknown as { axe: typeof axe };
    const results = await run.run(document, parameters);
    return results.violations.flatMap((violation) =>
      violation.nodes.map((node) => `${violation.id}: ${node.html.slice(0, 160)}\n    ${node.failureSummary ?? ''}`),
    );
  }, optionsOf(rules));
}

/** Returns what the rules read besides colours: the attributes, and the places of everything that is visible. */
function layoutOf(page: Page): Promise<string> {
  return page.evaluate(() => {
    const describe = (element: Element) => {
      const { x, y, width, height } = element.getBoundingClientRect();
      const attributes = [...element.attributes].map(({ name, value }) => `${name}=${value}`).join();
      return `${element.localName} ${attributes} ${element.checkVisibility({ visibilityProperty: true })} ${x} ${y} ${width} ${height}`;
    };
    return [...document.querySelectorAll('*')].map(describe).join('\n');
  });
}

/**
 * Returns what is wrong with the page's state, in every appearance. Empty: nothing. An appearance that changes nothing but
 * colours is examined by the rules for colours only.
 */
export async function accessibilityProblems(page: Page, state: string): Promise<string[]> {
  const problems: string[] = [];
  await page.emulateMedia({ reducedMotion: 'reduce' });
  let examined: string | undefined;
  for (const { name, media } of APPEARANCES) {
    await page.emulateMedia({ ...media, reducedMotion: 'reduce' });
    const layout = await layoutOf(page);
    // With forced colours the browser draws the user's colours, while styles state those of the page.
    const forced = media?.forcedColors === 'active';
    const known = layout === examined;
    if (known && forced) continue;
    const rules = known ? 'colours' : forced ? 'all but contrast' : 'all';
    problems.push(...(await findings(page, rules)).map((finding) => `${state}, ${name}: ${finding}`));
    if (rules === 'all') examined = layout;
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
