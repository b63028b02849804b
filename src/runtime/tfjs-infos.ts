import type { GraphModel } from '@tensorflow/tfjs-converter';
import { type DataType, type Tensor, tidy, zeros } from '@tensorflow/tfjs-core';
import type { ValueInfo } from './runner.js';
import type { Signature, SignatureEntry } from './tfjs-files.js';

/**
 * Names as in the signature, or else those of the nodes that are fed; shapes as in the signature, or else in the node.
 *
 * @throws Error where an input is not in the graph, or where its rank is open
 */
export function inputInfos(graph: GraphModel, signature: Signature = {}): ValueInfo[] {
  const names = keysOf(signature.inputs) ?? graph.inputNodes;
  return names.map((name) => {
    const node = graph.inputs[graph.inputNodes.indexOf(name)];
    const shape = shapeOf(signature.inputs?.[name]) ?? node?.shape?.map(sizeOf);
    if (node?.dtype == null || shape === undefined) throw new Error(`its input ${name} has no shape or no type`);
    return { name, type: node.dtype, shape };
  });
}

/**
 * Names as in the signature, or else those of the nodes that nothing takes. A model whose inputs have fixed shapes is run
 * on zeros, as unknown operators are noticed only then; so are shapes and types found that the signature does not tell.
 * With open shapes those stay unknown.
 *
 * @throws Error when the run fails
 */
export function outputInfos(graph: GraphModel, signature: Signature = {}, inputs: readonly ValueInfo[]): ValueInfo[] {
  const names = keysOf(signature.outputs) ?? graph.outputNodes;
  const found = runOnZeros(graph, inputs, names);
  return names.map((name, index) => {
    const entry = signature.outputs?.[name];
    return {
      name,
      type: TYPES[entry?.dtype ?? ''] ?? found[index]?.dtype ?? 'unknown',
      shape: shapeOf(entry) ?? found[index]?.shape ?? [],
    };
  });
}

/** TensorFlow's names of the element types that are the same in TensorFlow.js. */
const TYPES: Readonly<Partial<Record<string, string>>> = { DT_FLOAT: 'float32', DT_INT32: 'int32', DT_BOOL: 'bool' };

function keysOf(entries: object | undefined): string[] | undefined {
  const keys = Object.keys(entries ?? {});
  return keys.length > 0 ? keys : undefined;
}

function shapeOf(entry: SignatureEntry | undefined): ValueInfo['shape'] | undefined {
  const { unknownRank = false, dim = [] } = entry?.tensorShape ?? { unknownRank: true };
  return unknownRank ? undefined : dim.map(({ size }) => sizeOf(Number(size)));
}

function sizeOf(size: number): number | string {
  return size >= 0 ? size : '';
}

/** The outputs, without what they hold; none where a shape is open. */
function runOnZeros(graph: GraphModel, inputs: readonly ValueInfo[], names: string[]) {
  const found: Pick<Tensor, 'dtype' | 'shape'>[] = [];
  const isFixed = inputs.every(({ shape }) => shape.every((size) => typeof size === 'number'));
  if (!isFixed) return found;
  tidy(() => {
    const given = inputs.map(({ name, type, shape }) => [name, zeros(shape as number[], type as DataType)] as const);
    found.push(...[graph.execute(Object.fromEntries(given), names)].flat());
  });
  return found;
}
