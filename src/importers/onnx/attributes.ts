import type { OnnxAttribute } from '../../formats/onnx/structures.js';
import type { Integer } from '../../formats/onnx/wire.js';
import type { Attributes, AttributeValue } from '../../ir/graph.js';
import type { TensorReader } from './tensors.js';

/** The attributes as values of the graph; null where one is of a kind that only its own operator understands. */
export function toAttributes(given: ReadonlyMap<string, OnnxAttribute>, tensors: TensorReader): Attributes | null {
  const attributes: Record<string, AttributeValue> = {};
  for (const [name, attribute] of given) {
    const value = toValue(attribute, tensors);
    if (value === null) return null;
    attributes[name] = value;
  }
  return attributes;
}

function toValue(attribute: OnnxAttribute, tensors: TensorReader): AttributeValue | null {
  const { i, f, s, t, ints, floats, strings } = attribute;
  if (i !== undefined) return toNumber(i);
  if (f !== undefined) return f;
  if (s !== undefined) return decode(s);
  if (t !== undefined) return tensors.read(t);
  if (ints !== undefined) return ints.map(toNumber);
  if (floats !== undefined) return floats;
  const texts = strings?.map(decode);
  return texts?.every((text) => text !== null) ? texts : null;
}

/** Integers beyond 2^53 are written for "to the end" and the like: the largest exact number says the same. */
function toNumber(value: Integer): number {
  if (typeof value === 'number') return value;
  return value > 0n ? Number.MAX_SAFE_INTEGER : Number.MIN_SAFE_INTEGER;
}

function decode(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}
