import type { AttributeToWrite } from '../../formats/onnx/write.js';
import type { AttributeValue, Graph, Node } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';
import type { AttributeSpec } from '../../ops/attributes.js';
import { attributeToWrite } from './write/lowering.js';

/** The version of each operator set that foreign nodes are written for, by its domain: the newest where they differ. */
export function foreignOpsets(graph: Graph): Map<string, number> {
  const opsets = new Map<string, number>();
  for (const { foreign } of graph.nodes)
    if (foreign) opsets.set(foreign.domain, Math.max(foreign.version, opsets.get(foreign.domain) ?? 0));
  return opsets;
}

/** Attributes of a foreign node in the form of the file. */
export function foreignAttributes({ attributes, foreign }: Node): AttributeToWrite[] {
  return Object.entries(attributes).map(([name, value]) =>
    attributeToWrite(name, kindOf(value, foreign?.floats.includes(name) ?? false), value),
  );
}

/** A list without elements counts as one of numbers. */
function kindOf(value: AttributeValue, isFloat: boolean): AttributeSpec['kind'] {
  if (value instanceof Tensor) return 'tensor';
  if (typeof value === 'string') return 'string';
  if (typeof value === 'number') return isFloat ? 'float' : 'int';
  if (typeof value[0] === 'string') return 'strings';
  return isFloat ? 'floats' : 'ints';
}
