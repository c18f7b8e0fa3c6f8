// The configuration of the development server, and what it shares with the build (`scripts/build.mjs`).
import { svelte } from '@sveltejs/vite-plugin-svelte';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** Address of the Dabba that serves the API during development. */
const server = process.env.DABBA_SERVER ?? 'http://127.0.0.1:8080';

/** Serves `/kitchen/ID` and the other addresses of the pages from `pages/*.html`, as Dabba does. */
function pageRoutes(): Plugin {
  const routes: [RegExp, string][] = [
    [/^\/$/, 'start'],
    [/^\/login$/, 'login'],
    [/^\/kitchen\/[^/]+$/, 'kitchen'],
    [/^\/t\/[^/]+$/, 'tracking'],
    [/^\/order\/[^/]+$/, 'order'],
    [/^\/console(\/.*)?$/, 'console'],
  ];
  return {
    name: 'dabba-page-routes',
    configureServer(vite) {
      vite.middlewares.use((request, _response, next) => {
        const path = (request.url ?? '').split('?')[0] ?? '';
        const page = routes.find(([pattern]) => pattern.test(path))?.[1];
        if (page !== undefined) request.url = `/pages/${page}.html`;
        next();
      });
    },
  };
}

export default defineConfig({
  plugins: [svelte(), pageRoutes()],
  appType: 'mpa',
  server: {
    port: 5173,
    strictPort: true,
    // The `Host` and `Origin` headers stay as the browser sends them, so that both name the same origin.
    proxy: { '/v1': { target: server, changeOrigin: false }, '/docs': { target: server, changeOrigin: false } },
  },
  test: {
    include: ['src/**/*.test.ts'],
    environment: 'node',
  },
});
