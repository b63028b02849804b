import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Generator, parseGraph } from '../../src/ir/parse.js';
import { printGraph } from '../../src/ir/print.js';
import { createRandom } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import * as allPasses from '../../src/passes/index.js';
import type { Pass } from '../../src/passes/pass.js';
import { largestDifference, runGraph } from '../support/run-graph.js';
import { runPass } from '../support/run-pass.js';

/**
 * A case is `<pass>/<name>.txt`: a graph, `@@@`, the graph that the pass makes of it, `@@@`, the pass's options.
 * UPDATE_GOLDEN=1 writes what the passes make now; look at every line of the difference before keeping it.
 */
const folder = new URL('./', import.meta.url);
const passes = new Map(Object.values(allPasses).map((pass) => [pass.name, pass as unknown as Pass<unknown>]));

/** `normal(seed=1, mean=0, deviation=1)` and `uniform(seed=1, low=0, high=1)`. */
const generate: Generator = (name, { seed = 0, mean = 0, deviation = 1, low = 0, high = 1 }, count) => {
  const random = createRandom(seed);
  const draw = name === 'normal' ? () => mean + deviation * random.normal() : () => low + (high - low) * random.next();
  return Float32Array.from({ length: count }, draw);
};

const cases = readdirSync(folder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name }) =>
    readdirSync(new URL(`${name}/`, folder)).map((file) => ({ pass: name, file: `${name}/${file}` })),
  );

describe('golden cases', () => {
  it.each(cases)('$file', async ({ pass: name, file }) => {
    const path = new URL(file, folder);
    const [input, expected, options = '{}'] = readFileSync(path, 'utf8').split(/^@@@\n/m);
    const pass = passes.get(name) as Pass<unknown>;
    const graph = parseGraph(input, semantics, generate);
    const once = await runPass(pass, graph, JSON.parse(options));
    const printed = printGraph(once.graph);
    if (process.env.UPDATE_GOLDEN) writeFileSync(path, [input, printed, options].join('@@@\n'));
    else expect(printed).toBe(expected);
    if (pass.keeps !== 'exact') return;
    const twice = await runPass(pass, once.graph, JSON.parse(options));
    expect(printGraph(twice.graph)).toBe(printed);
    expect(largestDifference(await runGraph(graph), await runGraph(once.graph))).toBeLessThan(1e-5);
  });
});
