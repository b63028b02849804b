import { analyseChannels } from '../../src/analysis/channels.js';
import { layersOf } from '../../src/analysis/layers.js';
import type { Graph } from '../../src/ir/graph.js';
import { withConstants } from '../../src/ir/rewrite.js';
import { Tensor } from '../../src/ir/tensor.js';
import { isFloat } from '../../src/ir/types.js';
import type { Random } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import type { AxisRef } from '../../src/ops/op.js';
import { KeptCoordinates } from '../../src/passes/thinning/apply.js';

/** Coordinates of axes that go. */
export interface Dropped {
  readonly axis: AxisRef;
  readonly coordinates: ReadonlySet<number>;
}

/** Some units of every free class, never all of one. */
export function randomUnits(graph: Graph, random: Random): Dropped[] {
  const dropped = new Map<string, { axis: AxisRef; coordinates: Set<number> }>();
  for (const { axes, units } of analyseChannels(graph).classes) {
    const count = random.integer(units.length);
    for (const unit of random.shuffle(units).slice(0, count))
      for (const [i, axis] of axes.entries()) {
        const key = `${axis.axis} ${axis.value}`;
        const entry = dropped.get(key) ?? { axis, coordinates: new Set<number>() };
        dropped.set(key, entry);
        for (const coordinate of unit.coordinates[i]) entry.coordinates.add(coordinate);
      }
  }
  return [...dropped.values()];
}

/** All other coordinates of those axes. */
export function keptWithout(graph: Graph, dropped: readonly Dropped[]): KeptCoordinates {
  const kept = new KeptCoordinates();
  for (const { axis, coordinates } of dropped) {
    const extent = graph.type(axis.value).shape?.[axis.axis] as number;
    const all = Array.from({ length: extent }, (_, c) => c);
    kept.set(
      axis,
      all.filter((c) => !coordinates.has(c)),
    );
  }
  return kept;
}

/**
 * The graph with the dropped channels made meaningless: 'makers' sets to 0 all that makes them (weights, biases, scales
 * and shifts), 'readers' the weights that read them.
 */
export function zeroed(graph: Graph, dropped: readonly Dropped[], side: 'makers' | 'readers'): Graph {
  const inputAxes = new Set(layersOf(graph).map(({ weight, inAxis }) => `${inAxis} ${weight.name}`));
  const constants = new Map<string, Tensor>();
  for (const { axis, coordinates } of dropped) {
    const tensor = constants.get(axis.value) ?? graph.constants.get(axis.value);
    const isReader = inputAxes.has(`${axis.axis} ${axis.value}`);
    if (!tensor || !isFloat(tensor.dtype) || isReader !== (side === 'readers')) continue;
    constants.set(axis.value, withZeros(tensor, axis.axis, coordinates));
  }
  return withConstants(graph, semantics, constants);
}

function withZeros(tensor: Tensor, axis: number, coordinates: ReadonlySet<number>): Tensor {
  const inner = tensor.shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  const values = tensor.toFloat64();
  for (let i = 0; i < values.length; i++)
    if (coordinates.has(Math.floor(i / inner) % tensor.shape[axis])) values[i] = 0;
  return Tensor.encode(tensor.dtype, tensor.shape, values);
}
