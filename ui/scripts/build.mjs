// Builds every page on its own, so that a page is one HTML file, one style sheet, one script and one script per locale:
// pages share no chunks, because few people use two of them, and a shared chunk would contain what a page does not need.
//
// The output directory is `dist`, or the directory that DABBA_UI_OUT names.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { build } from 'vite';
import { PAGES } from './pages.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = resolve(root, process.env.DABBA_UI_OUT ?? 'dist');
const target = ['chrome111', 'firefox114', 'safari16.4'];

/**
 * Replaces Vite's code around each `import()`, which requests the style sheets of a script before the script. The scripts
 * of a page have no style sheets of their own, so that code, two kilobytes per page, would never do anything.
 * @returns {import('vite').Plugin}
 */
function withoutPreload() {
  return {
    name: 'dabba-without-preload',
    enforce: 'pre',
    load: (id) => (id === '\0vite/preload-helper.js' ? 'export const __vitePreload = (load) => load();' : null),
  };
}

/** @param {string} page */
async function buildPage(page) {
  await build({
    root,
    configFile: false,
    logLevel: 'warn',
    publicDir: false,
    plugins: [withoutPreload(), svelte({ configFile: join(root, 'svelte.config.js') })],
    build: {
      outDir: out,
      emptyOutDir: false,
      target,
      cssTarget: target,
      // The policy of the pages allows no inline script, so there is no polyfill, and no `data:` script or font.
      modulePreload: false,
      assetsInlineLimit: 0,
      cssCodeSplit: false,
      reportCompressedSize: false,
      rolldownOptions: {
        checks: { pluginTimings: false },
        input: { [page]: join(root, 'pages', `${page}.html`) },
        output: {
          entryFileNames: 'assets/[name]-[hash].js',
          chunkFileNames: `assets/${page}-[name]-[hash].js`,
          assetFileNames: `assets/${page}-[hash][extname]`,
        },
      },
    },
  });
  renameSync(join(out, 'pages', `${page}.html`), join(out, `${page}.html`));
}

/** Identifies the build: a digest of the names, which contain digests of the contents, and of the HTML files. */
function buildId() {
  const digest = createHash('sha256');
  for (const name of readdirSync(join(out, 'assets')).sort()) digest.update(`${name}\n`);
  for (const page of PAGES) digest.update(readFileSync(join(out, `${page}.html`)));
  return digest.digest('hex').slice(0, 16);
}

async function buildServiceWorker() {
  await build({
    root,
    configFile: false,
    logLevel: 'warn',
    publicDir: join(root, 'public'),
    define: { __BUILD__: JSON.stringify(buildId()) },
    build: {
      outDir: out,
      emptyOutDir: false,
      target,
      reportCompressedSize: false,
      rolldownOptions: {
        input: join(root, 'src/sw/sw.ts'),
        output: { format: 'iife', entryFileNames: 'sw.js' },
      },
    },
  });
}

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
for (const page of PAGES) await buildPage(page);
rmSync(join(out, 'pages'), { recursive: true, force: true });
await buildServiceWorker();
console.log(`Built ${PAGES.length} pages into ${out}`);
