import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import type { Attributes, Graph } from '../../../src/ir/graph.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { createRandom } from '../../../src/math/random.js';
import { semantics } from '../../../src/ops/index.js';
import { gradientErrors } from '../../support/check-gradient.js';

interface Case {
  readonly op: string;
  readonly x: readonly number[];
  /** Shapes of scale and bias. */
  readonly parameters: readonly (readonly number[])[];
  readonly attributes?: Attributes;
  readonly outputs?: number;
}

function graphOf({ op, x, parameters, attributes = {}, outputs = 1 }: Case): Graph {
  const random = createRandom(5);
  const builder = new GraphBuilder(semantics);
  builder.input('x', { dtype: 'f32', shape: x });
  const names = parameters.map((shape, i) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return builder.constant(
      `p${i}`,
      Tensor.floats(
        Float32Array.from({ length: size }, () => 1 + 0.5 * random.next()),
        shape,
      ),
    );
  });
  const made = Array.from({ length: outputs }, (_, i) => `y${i}`);
  builder.add({ op, name: 'norm', inputs: ['x', ...names], outputs: made, attributes });
  return builder.build(made);
}

const LAYER = 'LayerNormalization';

const CASES: Record<string, Case> = {
  'batch, frozen statistics': { op: 'BatchNormalization', x: [2, 3, 5, 4], parameters: [[3], [3], [3], [3]] },
  'batch, frozen statistics, 3-D': {
    op: 'BatchNormalization',
    x: [2, 3, 2, 3, 4],
    parameters: [[3], [3], [3], [3]],
    attributes: { epsilon: 0.1 },
  },
  instance: { op: 'InstanceNormalization', x: [2, 3, 5, 4], parameters: [[3], [3]], attributes: { epsilon: 0.01 } },
  'instance, 1-D': { op: 'InstanceNormalization', x: [2, 3, 7], parameters: [[3], [3]] },
  'instance, 3-D': { op: 'InstanceNormalization', x: [1, 3, 2, 3, 4], parameters: [[3], [3]] },
  'group, 2 of 3 channels': {
    op: 'GroupNormalization',
    x: [2, 6, 5, 3],
    parameters: [[6], [6]],
    attributes: { num_groups: 2, epsilon: 0.01 },
  },
  'group, one for all': {
    op: 'GroupNormalization',
    x: [2, 4, 5],
    parameters: [[4], [4]],
    attributes: { num_groups: 1 },
  },
  'group, 3-D': {
    op: 'GroupNormalization',
    x: [2, 4, 2, 3, 2],
    parameters: [[4], [4]],
    attributes: { num_groups: 2 },
  },
  'layer, last axis': { op: LAYER, x: [2, 5, 7], parameters: [[7], [7]] },
  'layer, two axes, no bias': {
    op: LAYER,
    x: [3, 4, 5],
    parameters: [[4, 5]],
    attributes: { axis: 1, epsilon: 0.01 },
  },
  'layer, scale of one axis': { op: LAYER, x: [3, 4, 5], parameters: [[5], [4, 1]], attributes: { axis: -2 } },
  'layer, with statistics': {
    op: LAYER,
    x: [3, 2, 9],
    parameters: [[9], [9]],
    attributes: { axis: 2, epsilon: 0.01 },
    outputs: 3,
  },
};

describe('gradients of normalizations', () => {
  // The finite steps bend the curve: about step² relative to the deviation; below that lies rounding over the step.
  it.each(Object.entries(CASES))('%s', async (_, node) => {
    const variables = node.parameters.map((_, i) => `p${i}`);
    const errors = await gradientErrors(graphOf(node), { variables, step: 5e-3 });
    expect(errors.size).toBe(variables.length + 1);
    for (const [name, error] of errors) expect(error, name).toBeLessThan(1e-3);
  });

  it('keeps precision where the mean is far beyond the deviation', async () => {
    const draw = (random: () => number) => 300 + random();
    const node = { op: 'InstanceNormalization', x: [2, 3, 5, 4], parameters: [[3], [3]] };
    const errors = await gradientErrors(graphOf(node), { draw, variables: ['p0', 'p1'], step: 2e-2 });
    for (const [name, error] of errors) expect(error, name).toBeLessThan(5e-3);
  });
});
