import { interrupted } from '../../errors.js';
import { GraphBuilder } from '../../ir/builder.js';
import type { Graph, Node } from '../../ir/graph.js';
import { copyNode } from '../../ir/rewrite.js';
import type { Tensor } from '../../ir/tensor.js';
import type { Shelf, Values } from '../../training/engine.js';
import type { Calibration, PassContext } from '../pass.js';

/** A value's tensors, one an image. */
interface StoredValue {
  readonly shelf: Shelf;
  readonly tensors: Tensor[];
}

/**
 * Computes a graph on all calibration images stretch by stretch, front to back, so that a layer's weights can be changed
 * before anything behind it is computed. Every node is computed once; values that later stretches read lie on disk.
 */
export class Replay {
  private readonly done = new Set<Node>();
  private readonly needed: ReadonlySet<Node>;
  private readonly stored = new Map<string, StoredValue>();
  /** How many of the goals have been asked for. */
  private asked = 0;

  /** @param goals the values that will be asked for, each after those before it */
  constructor(
    private readonly context: PassContext,
    private readonly calibration: Calibration,
    graph: Graph,
    private readonly goals: readonly string[],
  ) {
    this.needed = ancestors(graph, goals, new Set());
  }

  /**
   * The value for each image, computed with the graph's present constants; `graph` has the nodes that it had before.
   * Values are read from disk when asked for.
   */
  async valuesOf(graph: Graph, goal: string): Promise<readonly (() => Promise<Tensor>)[]> {
    this.asked++;
    if (!graph.inputs.includes(goal) && !this.stored.has(goal)) await this.advance(graph, goal);
    this.release(graph, goal);
    const stored = this.stored.get(goal)?.tensors;
    return this.calibration.images.map((load, image) => async () => stored?.[image] ?? read(await load(), goal));
  }

  private async advance(graph: Graph, goal: string): Promise<void> {
    const stretch = ancestors(graph, [goal], this.done);
    for (const node of stretch) this.done.add(node);
    const made = [...stretch].flatMap(({ outputs }) => outputs);
    const border = made.filter((value) => this.isWanted(graph, value));
    const canBeStored = border.every((value) => canBeInput(graph, value));
    // Values behind unknown operators may have no known type: then the stretch is computed once more when it is needed.
    if (!canBeStored) for (const node of stretch) this.done.delete(node);
    const wanted = canBeStored ? border : [goal];
    const part = stretchGraph(graph, stretch, wanted, this.context);
    const targets = new Map(
      wanted.map((value): [string, StoredValue] => [value, { shelf: this.calibration.engine.shelf(), tensors: [] }]),
    );
    const loaded = await this.calibration.engine.load(part);
    try {
      for (const [image, load] of this.calibration.images.entries()) {
        if (this.context.signal?.aborted) throw interrupted();
        const outputs = await loaded.run(await this.feeds(part, image, load));
        for (const [value, { shelf, tensors }] of targets) tensors.push(shelf.put(read(outputs, value)));
      }
    } finally {
      await loaded.close();
    }
    for (const [value, target] of targets) this.stored.set(value, target);
  }

  /** Gives back what is left; no value may be read after that. */
  close(): void {
    for (const { shelf } of this.stored.values()) shelf.clear();
    this.stored.clear();
  }

  /** Gives back what only the goals before this one needed. */
  private release(graph: Graph, goal: string): void {
    for (const [value, { shelf }] of this.stored)
      if (value !== goal && !this.isWanted(graph, value)) {
        shelf.clear();
        this.stored.delete(value);
      }
  }

  private async feeds(part: Graph, image: number, load: () => Promise<Values>): Promise<Values> {
    const isGiven = part.inputs.some((input) => !this.stored.has(input));
    const given = isGiven ? await load() : undefined;
    return new Map(
      part.inputs.map((input) => [input, this.stored.get(input)?.tensors[image] ?? read(given ?? new Map(), input)]),
    );
  }

  /** Whether the value is a goal to come, or a node that is still to be computed reads it. */
  private isWanted(graph: Graph, value: string): boolean {
    const isPending = (node: Node) => this.needed.has(node) && !this.done.has(node);
    return this.goals.indexOf(value, this.asked - 1) >= 0 || graph.readers(value).some(({ node }) => isPending(node));
  }
}

/** The nodes that the values rest on, in graph order, without those in `done`. */
function ancestors(graph: Graph, values: readonly string[], done: ReadonlySet<Node>): Set<Node> {
  const reached = new Set(values);
  const found: Node[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (done.has(node) || !node.outputs.some((output) => reached.has(output))) continue;
    found.push(node);
    for (const value of [...node.inputs, ...(node.captures ?? [])]) reached.add(value);
  }
  return new Set(found.reverse());
}

function canBeInput(graph: Graph, value: string): boolean {
  const { dtype } = graph.type(value);
  return dtype !== null && dtype !== 'string';
}

function stretchGraph(
  graph: Graph,
  stretch: ReadonlySet<Node>,
  outputs: readonly string[],
  context: PassContext,
): Graph {
  const builder = new GraphBuilder(context.semantics, { name: graph.name, origin: graph.origin });
  builder.reserve(graph.types.keys());
  for (const node of stretch) {
    for (const value of [...node.inputs, ...(node.captures ?? [])]) {
      if (value === '' || builder.has(value)) continue;
      const constant = graph.constants.get(value);
      if (constant) builder.constant(value, constant);
      else builder.input(value, graph.type(value));
    }
    copyNode(graph, node, builder);
  }
  return builder.build(outputs);
}

function read(values: Values, name: string): Tensor {
  const tensor = values.get(name);
  if (!tensor) throw new Error(`value ${name} was not computed`);
  return tensor;
}
