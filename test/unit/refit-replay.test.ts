import { expect, test } from 'vitest';
import { Tensor } from '../../src/ir/tensor.js';
import { semantics } from '../../src/ops/index.js';
import type { Calibration, PassContext } from '../../src/passes/pass.js';
import { Replay } from '../../src/passes/refitting/replay.js';
import { openEngine } from '../../src/recipe/engine.js';
import type { Shelf } from '../../src/training/engine.js';
import { Net } from '../support/patterns-net.js';

test('keeps on disk only what is still to be read', async () => {
  const net = new Net('chain', 3);
  const values = [net.input([1, 2, 8, 8])];
  for (let i = 0; i < 5; i++) values.push(net.relu(net.conv(values[i], 4)));
  const skip = net.concat(values[1], values[5]);
  const graph = net.build(net.conv(skip, 1));

  const engine = await openEngine({ threads: 1 });
  try {
    // Counts what lies on the engine's real shelves.
    const filled = new Set<Shelf>();
    const counting = () => {
      const shelf = engine.shelf();
      const counted: Shelf = {
        put: (tensor) => {
          filled.add(counted);
          return shelf.put(tensor);
        },
        clear: () => {
          filled.delete(counted);
          shelf.clear();
        },
      };
      return counted;
    };
    const image = Tensor.floats(
      Float32Array.from({ length: 128 }, (_, i) => Math.sin(i)),
      [1, 2, 8, 8],
    );
    const calibration: Calibration = {
      engine: { ...engine, shelf: counting },
      images: [async () => new Map([[values[0], image]])],
    };
    const context: PassContext = {
      semantics,
      seed: 0,
      note: () => {},
      resolve: () => {},
      warn: () => {},
      progress: () => {},
    };
    const goals = [...values, skip];
    const replay = new Replay(context, calibration, graph, goals);
    const held: number[] = [];
    for (const goal of goals) {
      const [read] = await replay.valuesOf(graph, goal);
      expect((await read()).size).toBeGreaterThan(0);
      held.push(filled.size);
    }
    // The goal itself, and the first activation until the concatenation at the end has read it.
    expect(held).toEqual([0, 1, 2, 2, 2, 2, 1]);
    replay.close();
    expect(filled.size).toBe(0);
  } finally {
    await engine.close();
  }
});
