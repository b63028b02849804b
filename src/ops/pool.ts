import { badNode } from '../errors.js';
import { formatShape } from '../ir/dims.js';
import type { Call } from '../ir/semantics.js';
import type { Shape, ValueType } from '../ir/types.js';
import type { AttributeTable, Resolved } from './attributes.js';
import { defineOp, type OpDefinition, type OpFact, shapeOf } from './op.js';
import { imageTies, sameType } from './pointwise.js';
import { readWindow, slide, WINDOW_ATTRIBUTES } from './window.js';

const POOL_ATTRIBUTES = {
  ...WINDOW_ATTRIBUTES,
  ceil_mode: { kind: 'int', default: 0 },
} as const satisfies AttributeTable;

/** Every pool is zero at zero and scales with its input (padding is never larger than what it stands beside). */
const facts: readonly OpFact[] = ['zero-preserving', 'positively-homogeneous'];

const maxPool = defineOp({
  name: 'MaxPool',
  inputs: [{ name: 'X' }],
  outputs: ['Y', 'Indices'],
  attributes: { ...POOL_ATTRIBUTES, storage_order: { kind: 'int', default: 0 } },
  facts,
  infer(call, attributes) {
    const type = poolType(call, attributes);
    return [type, { dtype: 'i64', shape: type.shape } as const].slice(0, call.outputCount);
  },
  ties(call) {
    // The indices count through all channels of the batch, so they change when a channel goes.
    return call.outputs[1]?.name ? [] : imageTies(call);
  },
});

const averagePool = defineOp({
  name: 'AveragePool',
  inputs: [{ name: 'X' }],
  outputs: ['Y'],
  attributes: { ...POOL_ATTRIBUTES, count_include_pad: { kind: 'int', default: 0 } },
  facts,
  infer: (call, attributes) => [poolType(call, attributes)],
  ties: imageTies,
});

/** The p-norm of each window. */
const lpPool = defineOp({
  name: 'LpPool',
  inputs: [{ name: 'X' }],
  outputs: ['Y'],
  attributes: { ...POOL_ATTRIBUTES, p: { kind: 'int', default: 2 } },
  facts,
  infer: (call, attributes) => [poolType(call, attributes)],
  ties: imageTies,
});

/** One number for each image and channel; the spatial axes stay with extent 1. */
function globalPool(name: string, attributes: AttributeTable = {}): OpDefinition {
  return defineOp({
    name,
    inputs: [{ name: 'X' }],
    outputs: ['Y'],
    attributes,
    facts,
    infer(call) {
      const shape = pooledShape(call);
      return [{ ...sameType(call), shape: shape?.map((dim, axis) => (axis < 2 ? dim : 1)) ?? null }];
    },
    ties: imageTies,
  });
}

export const poolOps = [
  maxPool,
  averagePool,
  lpPool,
  globalPool('GlobalAveragePool'),
  globalPool('GlobalMaxPool'),
  globalPool('GlobalLpPool', { p: { kind: 'int', default: 2 } }),
];

function pooledShape(call: Call): Shape | null {
  const shape = shapeOf(call, 0);
  if (shape && shape.length < 3)
    throw badNode(`the input must have a batch, a channel and spatial axes, not shape ${formatShape(shape)}`);
  return shape;
}

function poolType(call: Call, attributes: Resolved<typeof POOL_ATTRIBUTES>): ValueType {
  const shape = pooledShape(call);
  if (!shape) return sameType(call);
  const window = readWindow(attributes, shape.length - 2);
  return {
    ...sameType(call),
    shape: [...shape.slice(0, 2), ...slide(window, shape.slice(2), attributes.ceil_mode !== 0)],
  };
}
