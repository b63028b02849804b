/** An edge of a flow network and, at the same index ^ 1, its reverse. */
interface Network {
  readonly heads: number[];
  readonly capacities: number[];
  readonly outgoing: number[][];
}

/**
 * The cheapest way to part the nodes of a network so that its source and its sink come apart: Dinic's algorithm
 * (Dinic 1970). Among cheapest cuts it finds the one with the fewest nodes on the source's side.
 */
export class CutProblem {
  readonly source = 0;
  readonly sink = 1;
  readonly #network: Network = { heads: [], capacities: [], outgoing: [[], []] };

  addNode(): number {
    return this.#network.outgoing.push([]) - 1;
  }

  /** `cost` is paid where `from` comes to lie on the source's side and `to` on the sink's; it may be infinite. */
  addEdge(from: number, to: number, cost: number): void {
    const { heads, capacities, outgoing } = this.#network;
    outgoing[from].push(heads.length);
    heads.push(to);
    capacities.push(cost);
    outgoing[to].push(heads.length);
    heads.push(from);
    capacities.push(0);
  }

  /** Whether each node lies on the source's side. The problem is used up afterwards. */
  solve(): boolean[] {
    for (let levels = this.#levels(); levels[this.sink] >= 0; levels = this.#levels()) this.#saturate(levels);
    return this.#levels().map((level) => level >= 0);
  }

  /** Steps from the source along edges with capacity left; −1 where there is no way. */
  #levels(): number[] {
    const { heads, capacities, outgoing } = this.#network;
    const levels = Array<number>(outgoing.length).fill(-1);
    levels[this.source] = 0;
    const queue = [this.source];
    for (const node of queue)
      for (const edge of outgoing[node])
        if (capacities[edge] > 0 && levels[heads[edge]] < 0) {
          levels[heads[edge]] = levels[node] + 1;
          queue.push(heads[edge]);
        }
    return levels;
  }

  /** Sends flow along shortest ways until none is left; a stack of edges, since the ways may be long. */
  #saturate(levels: readonly number[]): void {
    const { heads, capacities, outgoing } = this.#network;
    const next = outgoing.map(() => 0);
    const path: number[] = [];
    let node = this.source;
    for (;;) {
      if (node === this.sink) {
        const flow = Math.min(...path.map((edge) => capacities[edge]));
        for (const edge of path) {
          capacities[edge] -= flow;
          capacities[edge ^ 1] += flow;
        }
        path.length = 0;
        node = this.source;
        continue;
      }
      const edge = outgoing[node][next[node]];
      if (edge === undefined) {
        const back = path.pop();
        if (back === undefined) return;
        node = heads[back ^ 1];
        next[node]++;
      } else if (capacities[edge] > 0 && levels[heads[edge]] === levels[node] + 1) {
        path.push(edge);
        node = heads[edge];
      } else next[node]++;
    }
  }
}
