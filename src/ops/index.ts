import { badNode } from '../errors.js';
import type { Semantics } from '../ir/semantics.js';
import { activationOps } from './activations.js';
import { arithmeticOps } from './arithmetic.js';
import { convOps } from './conv.js';
import { denseOps } from './dense.js';
import { einsumOps } from './einsum.js';
import { extendOps } from './extend.js';
import { joinOps } from './join.js';
import { logicOps } from './logic.js';
import { normOps } from './norm.js';
import { inferWith, type OpDefinition } from './op.js';
import { poolOps } from './pool.js';
import { quantOps } from './quant.js';
import { rearrangeOps } from './rearrange.js';
import { reduceOps } from './reduce.js';
import { reshapeOps } from './reshape.js';
import { resizeOps } from './resize.js';
import { shapeOps } from './shape.js';
import { sliceOps } from './slice.js';

const families = [
  convOps,
  normOps,
  activationOps,
  arithmeticOps,
  logicOps,
  poolOps,
  resizeOps,
  joinOps,
  sliceOps,
  extendOps,
  shapeOps,
  reshapeOps,
  rearrangeOps,
  denseOps,
  einsumOps,
  reduceOps,
  quantOps,
];

/** Every operator that has a meaning here; all others are Opaque. */
export const operators: ReadonlyMap<string, OpDefinition> = new Map(families.flat().map((op) => [op.name, op]));

/** The operator table as the graph builder sees it. */
export const semantics: Semantics = {
  infer(op, call) {
    const definition = operators.get(op);
    if (!definition) throw badNode(`there is no operator '${op}'`);
    return inferWith(definition, call);
  },
};
