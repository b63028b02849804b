import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ANY,
  AS_IS,
  CHANNELS_LAST,
  type Layout,
  type LayoutPlan,
  type LayoutRule,
  planLayout,
} from '../../src/exporters/layout.js';
import { CutProblem } from '../../src/exporters/minimum-cut.js';
import type { Graph, Node } from '../../src/ir/graph.js';
import { parseGraph } from '../../src/ir/parse.js';
import { semantics } from '../../src/ops/index.js';

describe('minimum cut', () => {
  it('finds what trying every cut finds', () => {
    const edge = fc.record({ from: fc.nat(5), to: fc.nat(5), cost: fc.integer({ min: 1, max: 9 }) });
    fc.assert(
      fc.property(fc.array(edge, { maxLength: 14 }), (edges) => {
        const problem = new CutProblem();
        for (let node = 2; node < 6; node++) problem.addNode();
        for (const { from, to, cost } of edges) problem.addEdge(from, to, cost);
        const costOf = (isSource: readonly boolean[]) =>
          edges.reduce((sum, { from, to, cost }) => sum + (isSource[from] && !isSource[to] ? cost : 0), 0);
        const all = Array.from({ length: 16 }, (_, bits) => [
          true,
          false,
          ...[0, 1, 2, 3].map((i) => (bits >> i) % 2 === 1),
        ]);
        const found = problem.solve();
        expect(found.slice(0, 2)).toEqual([true, false]);
        expect(costOf(found)).toBe(Math.min(...all.map(costOf)));
      }),
    );
  });

  it('takes a way of thousands of nodes', () => {
    const problem = new CutProblem();
    let last = problem.source;
    for (let i = 0; i < 20_000; i++) {
      const node = problem.addNode();
      problem.addEdge(last, node, i === 15_000 ? 1 : 5);
      last = node;
    }
    problem.addEdge(last, problem.sink, 5);
    expect(problem.solve().filter((isSource) => isSource).length).toBe(15_001);
  });
});

const parse = (text: string) => parseGraph(text, semantics, (_, __, count) => new Float32Array(count));

const RULES: Readonly<Record<string, LayoutRule>> = {
  Conv: CHANNELS_LAST,
  MaxPool: CHANNELS_LAST,
  Relu: ANY,
  Concat: ANY,
  Add: ANY,
  Reshape: AS_IS,
  Softmax: AS_IS,
};

function plan(graph: Graph, interfaceLayout: Layout): LayoutPlan {
  return planLayout({ graph, rule: (node) => RULES[node.op] ?? AS_IS, interfaceLayout: () => interfaceLayout });
}

/** Values that a reader, or the interface, wants in another layout than they are made in. */
function moved(graph: Graph, layouts: LayoutPlan, interfaceLayout: Layout): string[] {
  const values = [...graph.inputs, ...graph.nodes.flatMap(({ outputs }) => outputs)];
  return values.filter((value) => {
    const made = graph.inputs.includes(value) ? interfaceLayout : layouts.of(value);
    const readers: readonly Node[] = graph.readers(value).map(({ node }) => node);
    const wanted = readers.map((node) => layouts.inputs(node));
    if (graph.outputs.includes(value)) wanted.push(interfaceLayout);
    return wanted.some((layout) => layout !== made);
  });
}

const UNET = `graph unet(%x: f32[1,3,8,8]) {
  %w1 = const f32[4,3,1,1] normal(seed=1)
  %w2 = const f32[4,4,1,1] normal(seed=2)
  %w3 = const f32[2,8,1,1] normal(seed=3)
  %a = Conv(%x, %w1) : f32[1,4,8,8]
  %b = Relu(%a) : f32[1,4,8,8]
  %c = Conv(%b, %w2) : f32[1,4,8,8]
  %d = Concat(%b, %c) {axis=1} : f32[1,8,8,8]
  %y = Conv(%d, %w3) : f32[1,2,8,8]
  return %y
}`;

describe('layout plan', () => {
  it('moves nothing within a U-Net, and only the interface where that is channels first', () => {
    const graph = parse(UNET);
    expect(moved(graph, plan(graph, 'last'), 'last')).toEqual([]);
    expect(moved(graph, plan(graph, 'as-is'), 'as-is')).toEqual(['x', 'y']);
  });

  it('moves the smaller of two values where one of them must be moved', () => {
    const graph = parse(`graph cut(%x: f32[1,3,8,8]) {
  %w = const f32[16,3,1,1] normal(seed=1)
  %v = const f32[2,16,1,1] normal(seed=2)
  %a = Conv(%x, %w) : f32[1,16,8,8]
  %b = Relu(%a) : f32[1,16,8,8]
  %c = Conv(%b, %v) : f32[1,2,8,8]
  %d = Relu(%c) : f32[1,2,8,8]
  %y = Softmax(%d) {axis=1} : f32[1,2,8,8]
  return %y
}`);
    const layouts = plan(graph, 'last');
    // Either side of the second activation will do; nothing of the 16 channels moves.
    const values = moved(graph, layouts, 'last');
    expect(values).toContain('y');
    expect(values.filter((value) => ['c', 'd'].includes(value))).toHaveLength(1);
    expect(values).toHaveLength(2);
  });
});
