import { bindShapes } from '../analysis/cost.js';
import { formatOf, load } from '../importers/index.js';
import { type Options, withDefaults } from '../options.js';
import { readInputShapes } from '../recipe/input-shapes.js';
import { threadCounts } from '../recipe/judge-artifacts.js';
import { framesPerSecond } from '../report/table.js';
import { textTable } from '../report/text-table.js';
import { RUNTIME_TITLES, runtimeOf } from '../runtime/runner.js';
import { type Latency, type LatencyModel, measureLatency } from '../validate/latency.js';
import { interruptSignal, openTerminal } from './terminal.js';

/** Times models in turns, each in a process of its own; ratios are against the first. */
export async function runBench(files: readonly string[], given: Options): Promise<number> {
  const options = withDefaults(given);
  const terminal = openTerminal(options);
  const models = files.map((file) => modelOf(file, options.inputShape));
  const inBrowser = options.browser ? models.map((model) => ({ ...model, place: 'chromium' as const })) : [];
  const results = await measureLatency([...models, ...inBrowser], {
    threads: threadCounts(options.threads),
    mode: options.latency === 'none' ? 'quick' : options.latency,
    seed: options.seed,
    signal: interruptSignal(),
    onProgress: ({ threads, done }) => terminal.onProgress(`${threads} threads`, Math.round(done * 100), 100),
  });
  terminal.finish();
  if (options.json) process.stdout.write(`${JSON.stringify(results)}\n`);
  terminal.result(benchTable(results));
  return 0;
}

/** TFLite and tfjs files are timed at the shapes that they have. */
export function modelOf(file: string, asked: readonly string[] | undefined): LatencyModel {
  const format = formatOf(file) ?? 'onnx';
  if (format !== 'onnx') return { file, runtime: runtimeOf(format) };
  const graph = load(file);
  const bound = bindShapes(graph, readInputShapes(asked, graph.inputs));
  const shapes = graph.inputs.map((input) => [input, (bound.type(input).shape ?? []).map(Number)] as const);
  return { file, shapes: Object.fromEntries(shapes) };
}

export function benchTable(results: readonly Latency[]): string {
  return textTable(
    ['model', 'runs in', 'threads', 'median ms', 'min ms', 'p90 ms', 'runs', 'frames/s', 'times the first'],
    results.map(({ file, runtime, place, threads, median, min, p90, runs, speedUp }) => [
      file,
      RUNTIME_TITLES[runtime] + (place === 'chromium' ? ', Chromium' : ''),
      threads,
      median.toFixed(2),
      min.toFixed(2),
      p90.toFixed(2),
      runs,
      framesPerSecond(median),
      speedUp.toPrecision(3),
    ]),
  );
}
