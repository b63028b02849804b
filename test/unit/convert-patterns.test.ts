import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { bindShapes } from '../../src/analysis/cost.js';
import { lower } from '../../src/exporters/lowering/index.js';
import { RULES } from '../../src/exporters/lowering/rules.js';
import { TFJS } from '../../src/exporters/tfjs/target.js';
import { TFLITE } from '../../src/exporters/tflite/target.js';
import { load } from '../../src/importers/index.js';
import type { Graph } from '../../src/ir/graph.js';
import { operators } from '../../src/ops/index.js';
import { expectations } from '../fixtures/torch/expectations.js';
import { patterns } from '../support/patterns.js';
import { runInFormat } from '../support/run-formats.js';
import { largestDifference, runGraph } from '../support/run-graph.js';

const folder = fileURLToPath(new URL('../fixtures/torch/', import.meta.url));

interface Net {
  readonly name: string;
  make(): Graph;
}

const DEFAULT_SIZES: Readonly<Record<string, number>> = { n: 1, h: 16, w: 16 };

/** Every open size as a pattern's own table, or the default, says; one image. */
function bound(graph: Graph, sizes: Readonly<Record<string, number>> = {}): Graph {
  const shapes = graph.inputs.map((input) => {
    const shape = (graph.type(input).shape ?? []).map((dim) =>
      typeof dim === 'number' ? dim : dim === 'n' ? 1 : (sizes[dim] ?? DEFAULT_SIZES[dim]),
    );
    return [input, shape] as const;
  });
  return bindShapes(graph, new Map(shapes));
}

const exported: Net[] = readdirSync(folder)
  .filter((name) => name.endsWith('.onnx'))
  .map((file) => {
    const name = file.replace('.onnx', '');
    const [[, ...rest]] = expectations[name].shapes;
    return {
      name: `PyTorch's ${name}`,
      make: () => {
        const graph = load(`${folder}${file}`);
        return bindShapes(graph, new Map([[graph.inputs[0], [1, ...rest]]]));
      },
    };
  });

const NETS: readonly Net[] = [
  ...patterns.map(({ name, make, sizes }) => ({ name, make: () => bound(make(), sizes) })),
  ...exported,
];

/** What a format cannot say, by net: the sentence. */
const REFUSED: Readonly<Record<string, Readonly<Partial<Record<'tflite' | 'tfjs', RegExp>>>>> = {
  opaque: both(/Shrink node 'unknown' cannot be written to \S+: it has no counterpart there, so replace it/),
  'bn-behind-cubic-resize': both(/Resize node 'resize1' cannot be written to \S+: mode 'cubic' has no counterpart/),
  'bn-behind-pool-with-indices': both(
    /MaxPool node 'maxpool1' cannot be written to \S+: its second output, the indices/,
  ),
  'nnunet-3d': { tfjs: /ConvTranspose node 'up1' cannot be written to TensorFlow.js: there are no transposed/ },
  "PyTorch's nnunet-3d": { tfjs: /ConvTranspose node '\/up\/ConvTranspose' cannot be written to TensorFlow.js: there/ },
};

function both(sentence: RegExp) {
  return { tflite: sentence, tfjs: sentence };
}

describe.each(['tflite', 'tfjs'] as const)('%s', (format) => {
  it.each(NETS)('$name: gives what ONNX Runtime gives, or a sentence that says why not', async ({ name, make }) => {
    const graph = make();
    const refusal = REFUSED[name]?.[format];
    if (refusal) {
      await expect(runInFormat(graph, format)).rejects.toThrow(refusal);
      return;
    }
    const expected = await runGraph(graph);
    const { outputs } = await runInFormat(graph, format);
    expect(largestDifference(expected, outputs)).toBeLessThan(1e-4);
  });
});

it('adds no transposition to a U-Net, and only those of the interface where that is channels first', () => {
  for (const name of ['unet-folded', 'unet-output-padding', 'unet-padded', 'attention-unet', 'unet-prelu']) {
    const graph = bindShapes(load(`${folder}${name}.onnx`), new Map([['input', [1, 1, 32, 32]]]));
    for (const target of [TFLITE, TFJS])
      for (const layout of ['nhwc', 'nchw'] as const) {
        const kinds = lower(graph, target, { layout }).operations.map(({ kind }) => kind);
        expect([name, kinds.filter((kind) => kind === 'transpose')]).toEqual([name, []]);
      }
  }
});

it('has a rule, or a reason to refuse, for every operator', () => {
  expect(Object.keys(RULES).sort()).toEqual([...operators.keys()].sort());
});
