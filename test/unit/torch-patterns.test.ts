import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { analyseChannels } from '../../src/analysis/channels.js';
import { layersOf } from '../../src/analysis/layers.js';
import { compress } from '../../src/compress.js';
import { encodeOnnxGraph } from '../../src/exporters/onnx/index.js';
import { load } from '../../src/importers/index.js';
import type { Graph } from '../../src/ir/graph.js';
import { verify } from '../../src/ir/verify.js';
import { createRandom } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import type { Options } from '../../src/options.js';
import { canonicalize, foldBn, removeDeadChannels, thin } from '../../src/passes/index.js';
import { thinnableClasses } from '../../src/passes/thin.js';
import { applyThinning } from '../../src/passes/thinning/apply.js';
import { expectations, type TorchExpectation } from '../fixtures/torch/expectations.js';
import { differenceOf, madeAnew, type Result, runOnnx } from '../support/onnx-models.js';
import { countOf, runPass } from '../support/run-pass.js';
import { keptWithout, randomUnits, zeroed } from '../support/zero-units.js';

const folder = fileURLToPath(new URL('../fixtures/torch/', import.meta.url));
const files = readdirSync(folder).filter((name) => name.endsWith('.onnx'));
const networks = Object.entries(expectations).map(([name, expectation]) => ({ name, ...expectation }));

const SEEDS = [1, 2];

const CHOICES: readonly Options[] = [
  { thin: 0.5 },
  { thin: 0.5, round: 4 },
  { thin: 0.125, separable: 'depthwise' },
  { thin: 0.5, thinShape: 'flat', separable: 'spatial' },
  { separable: 'auto', maxError: 0.3 },
];

async function canonical(name: string): Promise<Graph> {
  return (await runPass(canonicalize, open(name), {})).graph;
}

function open(name: string): Graph {
  return load(`${folder}${name}.onnx`);
}

type Results = readonly Readonly<Record<string, Result>>[];

/** What ONNX Runtime makes of a model at each of the shapes. */
async function run(model: Graph | Uint8Array, { shapes }: TorchExpectation): Promise<Results> {
  const bytes = model instanceof Uint8Array ? model : encodeOnnxGraph(model);
  const results: Results[number][] = [];
  for (const input of shapes) results.push(await runOnnx(bytes, { input }));
  return results;
}

const originals = new Map<string, Promise<Results>>();

/** What the exporter's own file gives; run once. */
function runFile(name: string, expectation: TorchExpectation): Promise<Results> {
  const results = originals.get(name) ?? run(readFileSync(`${folder}${name}.onnx`), expectation);
  originals.set(name, results);
  return results;
}

function largestDifference(expected: Results, actual: Results): number {
  return Math.max(...expected.map((result, i) => differenceOf(result, actual[i])));
}

/** Dimensions where all values are finite. */
function finiteShapes(results: Results) {
  return results.map((result) =>
    Object.entries(result).map(([output, { dims, values }]) => [
      output,
      values.every(Number.isFinite) ? dims : 'broken',
    ]),
  );
}

/** A layer's path without the operator and without what the exporter repeats: /enc1/enc1.0/Conv is enc1.0. */
function shortName(name: string): string {
  const path = name.split('/').slice(1, -1);
  return path.filter((part, i) => !path[i + 1]?.startsWith(`${part}.`)).join('/');
}

it('every exported network has its expectation', () => {
  expect(files.sort()).toEqual(
    Object.keys(expectations)
      .map((name) => `${name}.onnx`)
      .sort(),
  );
});

describe.each(networks)('$name', ({ name, ...expectation }) => {
  it('imports without a node that is not known, and comes back equal', async () => {
    const graph = open(name);
    expect(verify(graph, semantics)).toEqual([]);
    expect(graph.nodes.filter(({ op }) => op === 'Opaque').map((node) => node.name)).toEqual([]);
    const expected = await runFile(name, expectation);
    for (const written of [graph, madeAnew(graph)])
      expect(largestDifference(expected, await run(written, expectation))).toBeLessThan(1e-5);
  });

  it('exact passes keep the outputs', async () => {
    const expected = await runFile(name, expectation);
    let together = open(name);
    for (const pass of [canonicalize, removeDeadChannels, foldBn]) {
      together = (await runPass(pass, together, {})).graph;
      const alone = (await runPass(pass, open(name), {})).graph;
      for (const graph of [alone, together]) {
        const difference = largestDifference(expected, await run(graph, expectation));
        expect([pass.name, difference < 1e-5]).toEqual([pass.name, true]);
      }
    }
    expect(countOf(together, 'BatchNormalization')).toBe(0);
  });

  it('has the classes and the widths that were worked out', async () => {
    const graph = await canonical(name);
    expect(thinnableClasses(graph, analyseChannels(graph))).toHaveLength(expectation.classes);
    const { graph: half, changes } = await runPass(thin, graph, { keep: 0.5, round: 1, shape: 'proportional' });
    const thinned = changes.filter(({ action }) => action === 'thinned');
    expect(Object.fromEntries(thinned.map(({ layer, after }) => [shortName(layer), after]))).toEqual(expectation.half);
    const kept = changes
      .filter(({ action }) => action === 'kept')
      .map(({ layer, reason }) => [shortName(layer), reason]);
    expect(Object.fromEntries(kept)).toEqual(
      Object.fromEntries(
        Object.entries(expectation.fixed).map(([layer, why]) => [layer, expect.stringContaining(why)]),
      ),
    );
    expect(finiteShapes(await run(half, expectation))).toEqual(finiteShapes(await runFile(name, expectation)));
  });

  it('thinning channels that nothing reads keeps the outputs', async () => {
    for (const [form, graph] of Object.entries({ plain: open(name), canonical: await canonical(name) }))
      for (const seed of SEEDS) {
        const dropped = randomUnits(graph, createRandom(seed));
        const prepared = zeroed(graph, dropped, 'readers');
        const thinned = applyThinning(prepared, keptWithout(graph, dropped), semantics);
        expect(verify(thinned, semantics)).toEqual([]);
        const difference = largestDifference(await run(prepared, expectation), await run(thinned, expectation));
        if (form === 'plain' || !expectation.mixesChannels) expect([form, difference < 1e-5]).toEqual([form, true]);
      }
  });

  it('runs thinned and factorized, at every size', async () => {
    const expected = finiteShapes(await runFile(name, expectation));
    const graph = open(name);
    for (const options of CHOICES) {
      const compressed = await compress(graph, { ...options, check: true });
      expect([options, finiteShapes(await run(compressed.graph, expectation))]).toEqual([options, expected]);
    }
  });
});

it('finds layers by their short names', () => {
  const names = layersOf(open('attention-unet')).map(({ node }) => shortName(node.name));
  expect(new Set(names).size).toBe(names.length);
});
