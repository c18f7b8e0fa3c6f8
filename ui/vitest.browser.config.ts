import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/browser/**/*.spec.ts'],
    // Screenshots are no tests: `scripts/screenshots` takes them.
    exclude: process.env['DABBA_SHOTS'] === undefined ? ['tests/browser/shots.spec.ts'] : [],
    environment: 'node',
    // Each file has a browser and a server of its own. Tests wait more than they compute, and small machines have two cores.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
