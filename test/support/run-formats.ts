import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { InterfaceLayout } from '../../src/exporters/interface-layout.js';
import { movedInterface } from '../../src/exporters/interface-layout.js';
import { exportTfjs } from '../../src/exporters/tfjs/index.js';
import { exportTflite } from '../../src/exporters/tflite/index.js';
import type { Graph } from '../../src/ir/graph.js';
import { loadTfliteModel } from '../../src/runtime/litert.js';
import type { TensorData, Tensors } from '../../src/runtime/runner.js';
import { loadTfjsModel } from '../../src/runtime/tfjs.js';
import { withChannelsFirst } from '../../src/validate/channels-first.js';
import { inputsFor, type Output } from './run-graph.js';

export type Format = 'tflite' | 'tfjs';

export interface FormatRun {
  readonly outputs: readonly Output[];
  readonly fullyDelegated: boolean | undefined;
}

/**
 * What the format's own runtime, in this process, makes of a graph of fixed shapes, exported to it, on the
 * given inputs, else on those of `runGraph`.
 */
export async function runInFormat(
  graph: Graph,
  format: Format,
  { seed = 5, layout = 'nhwc', given }: { seed?: number; layout?: InterfaceLayout; given?: Tensors } = {},
): Promise<FormatRun> {
  const folder = mkdtempSync(join(tmpdir(), 'run-formats-'));
  try {
    const [file] =
      format === 'tfjs'
        ? await exportTfjs(graph, folder, { layout, version: '0' })
        : await exportTflite(graph, join(folder, 'model.tflite'), { layout });
    const model = await (format === 'tfjs' ? loadTfjsModel : loadTfliteModel)(file, 1);
    const runner = withChannelsFirst(model, new Set(movedInterface(graph, layout)));
    const inputs = Object.entries(inputsFor(graph, seed, {})).map(([name, { data, dims }]) => {
      return [name, { type: 'float32', dims: [...dims], data: data as Float32Array } as TensorData] as const;
    });
    const results = await runner.run(given ?? Object.fromEntries(inputs));
    const outputs = graph.outputs.map((name) => ({
      dims: results[name].dims,
      values: Array.from(results[name].data as Iterable<number | bigint>, Number),
    }));
    return { outputs, fullyDelegated: model.info.fullyDelegated };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
