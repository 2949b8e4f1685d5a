import { defineConfig } from 'vitest/config';

/** One project a kind of promise: unit (a noun), story (the house), peers (foreign programs), law (the rules). */
const project = (name: string, extra: object = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout: 30_000, hookTimeout: 60_000, ...extra },
});

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      project('unit'),
      project('law'),
      project('story'),
      project('peers', { fileParallelism: false }),
    ],
    coverage: {
      provider: 'v8',
      include: ['common/**', 'gateway/**', 'registry/**', 'simulator/**', 'cli/**'],
    },
  },
});
