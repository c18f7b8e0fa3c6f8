// Checks what each page of the build costs: its bytes after brotli compression, its requests, and its policy. Fails if a
// page exceeds its budget, contains an inline script or style, or names another host.
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants } from 'node:zlib';
import { BUDGETS, LATER_BUDGETS, MAXIMUM_REQUESTS } from './pages.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = resolve(root, process.env.DABBA_UI_OUT ?? 'dist');
const files = readdirSync(join(out, 'assets'));
/** @type {string[]} */
const failures = [];

/** @param {string} path */
function compressed(path) {
  const content = readFileSync(join(out, path));
  return brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length;
}

for (const [page, budget] of Object.entries(BUDGETS)) {
  const html = readFileSync(join(out, `${page}.html`), 'utf8');
  const own = files.filter((file) => file.startsWith(`${page}-`));
  const locales = own.filter((file) => /^\w+-(en|hi|ar)-/.test(file));
  const later = own.filter((file) => file.startsWith(`${page}-later-`));
  const always = own.filter((file) => !locales.includes(file) && !later.includes(file)).map((file) => `assets/${file}`);
  if (locales.length !== 3) failures.push(`${page}: has ${locales.length} locales`);
  const largest = Math.max(...locales.map((file) => compressed(`assets/${file}`)));
  const bytes = [`${page}.html`, ...always].reduce((sum, file) => sum + compressed(file), largest);
  const laterBytes = later.reduce((sum, file) => sum + compressed(`assets/${file}`), 0);
  const laterBudget = LATER_BUDGETS[page] ?? 0;
  // The page, its files, one locale, the later script, and the icon.
  const requests = 1 + always.length + 1 + later.length + 1;
  console.log(`${page.padEnd(9)} ${(bytes / 1000).toFixed(1).padStart(6)} kB of ${budget}, ${requests} requests`);
  if (laterBytes > 0) console.log(`  later   ${(laterBytes / 1000).toFixed(1).padStart(6)} kB of ${laterBudget}`);
  if (laterBytes > laterBudget * 1000) failures.push(`${page}, later: ${laterBytes} bytes exceed ${laterBudget} kB`);
  if (bytes > budget * 1000) failures.push(`${page}: ${bytes} bytes exceed ${budget} kB`);
  if (requests > MAXIMUM_REQUESTS) failures.push(`${page}: ${requests} requests exceed ${MAXIMUM_REQUESTS}`);
  if (/<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)/.test(html)) failures.push(`${page}: inline script or style`);
}
for (const file of files) {
  const content = readFileSync(join(out, 'assets', file), 'utf8');
  // Namespaces and the documentation's address in error messages are never requested.
  const hosts = content.match(/https?:\/\/(?!www\.w3\.org\/|svelte\.dev\/)[\w.-]+/g);
  if (hosts !== null) failures.push(`${file}: names ${[...new Set(hosts)].join(', ')}`);
}
for (const failure of failures) console.error(failure);
process.exitCode = failures.length === 0 ? 0 : 1;
