// Gives a page of a test the library of the pages, without a page around it: real storage, locks and streams.
import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { build, type Rolldown } from 'vite';
import type { Front } from './front';

const SOURCE = `
import { openOutbox } from '/src/lib/outbox-tabs.ts';
import { openAccountStorage } from '/src/lib/storage.ts';
import { openSharedStream } from '/src/lib/tabs.ts';
import { signOut, onSignOut, loadSession } from '/src/lib/session.svelte.ts';
Object.assign(globalThis, { openOutbox, openAccountStorage, openSharedStream, signOut, onSignOut, loadSession });
document.body.dataset.ready = 'true';
`;

/** Path of the page that has the library. */
export const FIXTURE = '/fixture.html';

/** Builds the library and lets `front` serve it. */
export async function serveFixture(front: Front): Promise<void> {
  const id = 'virtual:fixture';
  const output = (await build({
    root: fileURLToPath(new URL('../..', import.meta.url)),
    configFile: false,
    logLevel: 'warn',
    publicDir: false,
    plugins: [
      svelte({ configFile: false, compilerOptions: { runes: true } }),
      {
        name: 'fixture',
        resolveId: (source) => (source === id ? id : null),
        load: (source) => (source === id ? SOURCE : null),
      },
    ],
    build: { write: false, modulePreload: false, rolldownOptions: { input: id } },
  })) as Rolldown.RolldownOutput;
  const script = output.output[0].code;
  front.files.set('/fixture.js', { type: 'text/javascript', content: script });
  front.files.set(FIXTURE, {
    type: 'text/html; charset=utf-8',
    content: '<!doctype html><html lang="en"><title>Fixture</title><script type="module" src="/fixture.js"></script>',
  });
}
