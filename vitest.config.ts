import { defineConfig } from 'vitest/config';

// `npm run check` runs `unit` only. The set-up builds dist/ first: models run in child processes, which need JavaScript.
const project = (name: string, folders: string[], testTimeout: number) => ({
  test: {
    name,
    include: folders.map((folder) => `test/${folder}/**/*.test.ts`),
    testTimeout,
    pool: 'forks' as const,
    // For ONNX Runtime in the tests' own processes, as in the child processes of src/runtime/.
    env: { ORT_DISABLE_TELEMETRY: '1' },
  },
});

export default defineConfig({
  test: {
    reporters: process.env.TEST_RESULTS ? ['default', ['json', { outputFile: process.env.TEST_RESULTS }]] : ['default'],
    // All cores: the default leaves one free, half of a small machine.
    maxWorkers: '100%',
    globalSetup: ['./test/support/build.ts'],
    projects: [
      project('unit', ['unit', 'golden', 'property'], 60_000),
      project('whole', ['corpus', 'cli', 'fuzz'], 600_000),
      project('browser', ['browser'], 120_000),
    ],
  },
});
