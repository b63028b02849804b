import { createRequire } from 'node:module';

/** Name and version of the runtime that computes, which are part of what a run's bytes depend on. */
export function runtimeVersion(): string {
  const { name, version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as Record<string, string>;
  return `${name} ${version}`;
}
