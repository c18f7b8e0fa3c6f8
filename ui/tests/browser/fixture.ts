// Gives a page of a test parts of the library that no page has alone: real storage, locks and streams, and every component.
import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { build, type Rolldown } from 'vite';
import type { Front } from './front';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Sources of the fixtures by name. The page of a fixture is `/NAME.html`. */
const SOURCES = {
  library: `
import { openOutbox } from '/src/lib/outbox-tabs.ts';
import { openAccountStorage } from '/src/lib/storage.ts';
import { openSharedStream } from '/src/lib/tabs.ts';
import { signOut, loadSession } from '/src/lib/session.svelte.ts';
Object.assign(globalThis, { openOutbox, openAccountStorage, openSharedStream, signOut, loadSession });
document.body.dataset.ready = 'true';
`,
  components: "import '/tests/browser/components/main.ts';",
};

/** Builds a fixture and lets `front` serve it. Returns the path of its page. */
export async function serveFixture(front: Front, name: keyof typeof SOURCES): Promise<string> {
  const id = 'virtual:fixture';
  const { output } = (await build({
    root: ROOT,
    configFile: false,
    logLevel: 'warn',
    publicDir: false,
    plugins: [
      svelte({ configFile: `${ROOT}/svelte.config.js` }),
      {
        name: 'fixture',
        resolveId: (source) => (source === id ? id : null),
        load: (source) => (source === id ? SOURCES[name] : null),
      },
    ],
    build: {
      write: false,
      modulePreload: false,
      cssCodeSplit: false,
      rolldownOptions: {
        input: id,
        output: {
          entryFileNames: `${name}.js`,
          chunkFileNames: `${name}-[name].js`,
          assetFileNames: `${name}[extname]`,
        },
      },
    },
  })) as Rolldown.RolldownOutput;
  let style = '';
  for (const file of output) {
    const content = file.type === 'chunk' ? file.code : String(file.source);
    const isStyle = file.fileName.endsWith('.css');
    if (isStyle) style = `<link rel="stylesheet" href="/${file.fileName}">`;
    front.files.set(`/${file.fileName}`, { type: isStyle ? 'text/css' : 'text/javascript', content });
  }
  front.files.set(`/${name}.html`, {
    type: 'text/html; charset=utf-8',
    content:
      `<!doctype html><html lang="en"><title>${name}</title>` +
      '<meta name="viewport" content="width=device-width, initial-scale=1">' +
      `${style}<div id="app"></div><script type="module" src="/${name}.js"></script>`,
  });
  return `/${name}.html`;
}
