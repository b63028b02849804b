import { describe, expect, it } from 'vitest';
import type { Graph, Node } from '../../src/ir/graph.js';
import { parseGraph } from '../../src/ir/parse.js';
import { Tensor } from '../../src/ir/tensor.js';
import { verify } from '../../src/ir/verify.js';
import { semantics } from '../../src/ops/index.js';
import { patterns } from '../support/patterns.js';

const graph = parseGraph(
  `graph two(%x: f32[n,1,h,w]) {
    %weight = const f32[2,1,1,1] {1, 2}
    %a = Conv(%x, %weight)
    %b = Relu(%a)
    return %b
  }`,
  semantics,
);
const [conv, relu] = graph.nodes;

function withNodes(...nodes: Node[]): Graph {
  return graph.with({ nodes });
}

const faults: readonly (readonly [fault: string, graph: Graph, finding: RegExp])[] = [
  ['a value that nothing makes', withNodes(relu), /'a' is used before anything makes it/],
  ['nodes out of order', withNodes(relu, conv), /'a' is used before anything makes it/],
  ['two makers of one value', withNodes(conv, { ...relu, outputs: ['a'] }), /two values are called 'a'/],
  ['a constant that is gone', graph.with({ constants: new Map() }), /'weight' is used before anything makes it/],
  [
    'a constant of another shape than stated',
    graph.with({ constants: new Map([['weight', Tensor.floats([1, 2, 3], [3, 1, 1, 1])]]) }),
    /'weight' is stated as f32\[2,1,1,1\] but is f32\[3,1,1,1\]/,
  ],
  [
    'operands that do not fit',
    graph.with({ constants: new Map([['weight', Tensor.floats([1, 2], [1, 2, 1, 1])]]) }),
    /takes 2 in each of 1 groups/,
  ],
  [
    'an attribute of the wrong kind',
    withNodes({ ...conv, attributes: { group: 'two' } }, relu),
    /'group' is not of kind/,
  ],
  ['an attribute that is not known', withNodes({ ...conv, attributes: { colour: 1 } }, relu), /'colour' is not one of/],
  ['an operator that is not known', withNodes({ ...conv, op: 'Convolve' }, relu), /no operator 'Convolve'/],
  [
    'a type that is stated wrong',
    graph.with({ types: new Map([...graph.types, ['b', { dtype: 'f16', shape: ['n', 2, 'h', 'w'] }]]) }),
    /'b' is stated as f16\[n,2,h,w\] but is f32\[n,2,h,w\]/,
  ],
  ['an output that nothing makes', graph.with({ outputs: ['b', 'c'] }), /output 'c' of the graph is made by nothing/],
  [
    'a value without a name',
    withNodes(conv, { ...relu, inputs: ['a'], outputs: ['b', ''] }, { ...relu, outputs: [] }),
    /outputs/,
  ],
];

describe('verify', () => {
  it.each(patterns)('finds nothing in $name', ({ make }) => {
    expect(verify(make(), semantics)).toEqual([]);
  });

  it.each(faults)('finds %s', (_, faulty, finding) => {
    expect(verify(faulty, semantics).join('\n')).toMatch(finding);
  });
});
