import { type TfjsType, typeAttribute } from '../../../formats/tfjs/model.js';
import type { Call, GraphWriter } from '../graph-writer.js';

interface Conversion {
  readonly from: TfjsType;
  readonly to: TfjsType;
  /** For the names of nodes. */
  readonly base: string;
}

/** The elements of a node's result in another type; fractions are cut, and all but zero is true. */
export function converted(node: string, { from, to, base }: Conversion, graph: GraphWriter): Call {
  if (to === 'bool' && from !== 'bool') {
    // The kernel for Cast would keep the lowest byte of the whole part.
    const zero = from === 'float32' ? graph.floats(`${base}/zero`, [0], []) : graph.integer(`${base}/zero`, 0);
    return { op: 'NotEqual', inputs: [node, zero] };
  }
  return { op: 'Cast', inputs: [node], attributes: { SrcT: typeAttribute(from), DstT: typeAttribute(to) } };
}

/** A call whose kernel gives singles whatever it is given, and after it what makes them the output's type. */
export function fromSingles(call: Call, to: TfjsType, base: string, graph: GraphWriter): Call {
  if (to === 'float32') return call;
  return converted(graph.add(`${base}/single`, call), { from: 'float32', to, base }, graph);
}
