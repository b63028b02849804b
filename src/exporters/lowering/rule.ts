import type { Graph, Node } from '../../ir/graph.js';
import type { LayoutRule } from '../layout.js';
import type { NodeLowering } from './node-lowering.js';
import type { OperationKind } from './operations.js';

/** How an operator of the graph is said in operations. */
export interface LoweringRule {
  readonly layout: LayoutRule | ((node: Node, graph: Graph) => LayoutRule);
  /** Adds the operations and gives every result that the node has. */
  lower(node: NodeLowering): void;
  /** What of the operator cannot be said, for the table of supported operators. */
  readonly limits?: string;
  /** Kinds of operations that not every target has, and what is refused without them. */
  readonly needs?: readonly { readonly kind: OperationKind; readonly what: string }[];
}

/** Why an operator cannot be said at all. */
interface Refusal {
  readonly refused: string;
}

export type LoweringRules = Readonly<Record<string, LoweringRule | Refusal>>;
