import { defineConfig } from 'vitest/config';

/** Files that measure, and the file whose tests have a limit in time and run beside each other. They run alone, after all others. */
const ALONE = ['tests/browser/kitchen-load.spec.ts', 'tests/browser/painted.spec.ts', 'tests/browser/silence.spec.ts'];
/** Screenshots are no tests: `scripts/screenshots` takes them. */
const SHOTS = process.env['DABBA_SHOTS'] === undefined ? ['tests/browser/shots.spec.ts'] : [];

export default defineConfig({
  test: {
    environment: 'node',
    // A limit of a test or a hook is only for one that hangs: each wait in it has a limit of its own, and a test has several.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // As long as Playwright's waits (`WAIT`). The default of Vitest is one second.
    expect: { poll: { timeout: 15_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: 'browser',
          include: ['tests/browser/**/*.spec.ts'],
          exclude: [...ALONE, ...SHOTS],
          // Each file has a browser and a server of its own. Tests wait more than they compute, and small machines have two
          // cores.
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: 'alone', include: ALONE, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
