import type { Graph, Node } from '../../ir/graph.js';
import type { Tensor } from '../../ir/tensor.js';
import type { FoldedLayer } from './linear.js';

/** The graph that a rule looks at, and names for new constants that no other rule of the same round takes. */
export interface FoldScope {
  readonly graph: Graph;
  fresh(base: string): string;
}

/** What becomes of the nodes that an affine goes into, and of those on its way (which may stand for themselves). */
export interface Taken {
  readonly replace: Map<Node, readonly Node[]>;
  readonly constants: Map<string, Tensor>;
  /** Names of the layers that take it in. */
  readonly layers: string[];
  /** Operators on the way. */
  readonly through: Set<string>;
}

export function createScope(graph: Graph): FoldScope {
  const taken = new Set<string>();
  return {
    graph,
    fresh(base) {
      let name = base;
      for (let i = 1; graph.types.has(name) || taken.has(name); i++) name = `${base}_${i}`;
      taken.add(name);
      return name;
    },
  };
}

export function nothingTaken(): Taken {
  return { replace: new Map(), constants: new Map(), layers: [], through: new Set() };
}

/** Notes a layer with folded numbers; a constant that others share is left to them. */
export function takeLayer(
  scope: FoldScope,
  taken: Taken,
  layer: Node,
  folded: FoldedLayer,
  change: { input?: string; outputs?: readonly string[] } = {},
): void {
  const { graph, fresh } = scope;
  const ownName = (name: string) => (graph.hasOneReader(name) ? name : fresh(name));
  const [data, weight, bias = ''] = layer.inputs;
  const inputs = [change.input ?? data, ownName(weight)];
  taken.constants.set(inputs[1], folded.weight);
  if (bias !== '' || !isZero(folded.bias)) {
    inputs.push(bias === '' ? fresh(`${weight.replace(/\.weight$/, '')}.bias`) : ownName(bias));
    taken.constants.set(inputs[2], folded.bias);
  }
  taken.replace.set(layer, [{ ...layer, inputs, outputs: change.outputs ?? layer.outputs, origin: undefined }]);
  taken.layers.push(layer.name);
}

function isZero(tensor: Tensor): boolean {
  return (tensor.toNumbers() as Float32Array).every((value) => value === 0);
}
