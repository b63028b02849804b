import { type Graph, type Node, OPAQUE } from '../../ir/graph.js';
import { rewrite } from '../../ir/rewrite.js';
import type { Semantics } from '../../ir/semantics.js';
import type { Tensor } from '../../ir/tensor.js';
import type { Rewrite, RewriteScope } from './rule.js';

/** Rewrites that touch different nodes of one graph, collected in graph order and applied at once. */
export class RewriteRound implements RewriteScope {
  private readonly replaced = new Map<Node, readonly Node[]>();
  private readonly constants = new Map<string, Tensor>();
  private readonly aliases = new Map<string, string>();
  private readonly taken = new Set<string>();

  constructor(readonly graph: Graph) {}

  constant(value: string): Tensor | undefined {
    const name = this.resolve(value);
    return this.constants.get(name) ?? this.graph.constants.get(name);
  }

  fresh(base: string): string {
    let name = base;
    for (let i = 1; this.graph.types.has(name) || this.taken.has(name); i++) name = `${base}_${i}`;
    this.taken.add(name);
    return name;
  }

  /** Whether the rewrite was taken in; not where it touches what another one has touched. */
  accept({ replace, constants, aliases }: Rewrite): boolean {
    if ([...replace.keys()].some((node) => this.replaced.has(node))) return false;
    for (const [node, nodes] of replace) this.replaced.set(node, nodes);
    for (const [name, tensor] of constants ?? []) this.constants.set(name, tensor);
    for (const [name, by] of aliases ?? []) this.aliases.set(name, by);
    return true;
  }

  isTouched(node: Node): boolean {
    return this.replaced.has(node);
  }

  /** The graph with all rewrites applied; the same graph where there are none. */
  result(semantics: Semantics): Graph {
    if (this.replaced.size === 0) return this.graph;
    const constants = new Map([...this.graph.constants, ...this.constants]);
    return rewrite(this.graph.with({ constants }), semantics, (node, builder) => {
      for (const current of this.replaced.get(node) ?? [node])
        builder.add(
          this.redirected(current),
          current.outputs.map((output) => this.graph.type(output)),
        );
      return true;
    });
  }

  private redirected(node: Node): Node {
    if (!node.inputs.some((input) => this.aliases.has(input))) return node;
    const inputs = node.inputs.map((input) => this.resolve(input));
    return { ...node, inputs, origin: node.op === OPAQUE ? node.origin : undefined };
  }

  private resolve(value: string): string {
    for (let next: string | undefined = value; next !== undefined; next = this.aliases.get(value)) value = next;
    return value;
  }
}
