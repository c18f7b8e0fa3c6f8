import { defineConfig } from 'vitest/config';

/** Files that measure. They run alone, after all others. */
const MEASURING = ['tests/browser/kitchen-load.spec.ts', 'tests/browser/painted.spec.ts'];
/** Screenshots are no tests: `scripts/screenshots` takes them. */
const SHOTS = process.env['DABBA_SHOTS'] === undefined ? ['tests/browser/shots.spec.ts'] : [];

export default defineConfig({
  test: {
    environment: 'node',
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'browser',
          include: ['tests/browser/**/*.spec.ts'],
          exclude: [...MEASURING, ...SHOTS],
          // Each file has a browser and a server of its own. Tests wait more than they compute, and small machines have two
          // cores.
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: 'measuring', include: MEASURING, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
