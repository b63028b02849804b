import type { Activation, BinaryFunction, Operation, OperationOf, Program } from './operations.js';
import type { Target } from './target.js';

const FUSABLE: ReadonlySet<string> = new Set<Activation['function']>(['relu', 'relu6', 'leakyRelu', 'elu', 'sigmoid']);

/** Of the operations on two operands, only these have an activation. */
const ARITHMETIC: ReadonlySet<BinaryFunction> = new Set(['add', 'subtract', 'multiply', 'divide']);

type FusingKind = 'conv2d' | 'depthwiseConv2d' | 'conv3d' | 'binary' | 'fullyConnected';
type Fusing = { [K in FusingKind]: OperationOf<K> }[FusingKind];

/** Puts an activation into the operation before it, where nothing else reads what lies between them. */
export function fuseActivations(program: Program, target: Target): Program {
  const readers = new Map<string, number>();
  for (const { inputs } of program.operations)
    for (const input of inputs) readers.set(input, (readers.get(input) ?? 0) + 1);
  for (const { value } of program.outputs) readers.set(value, (readers.get(value) ?? 0) + 1);
  const operations: Operation[] = [];
  const places = new Map<string, number>();
  for (const operation of program.operations) {
    const place = places.get(operation.inputs[0]);
    const maker = place === undefined ? undefined : operations[place];
    const fused = maker && readers.get(maker.output) === 1 ? fuse(maker, operation, target) : undefined;
    places.set(operation.output, fused && place !== undefined ? place : operations.length);
    if (fused && place !== undefined) operations[place] = fused;
    else operations.push(operation);
  }
  const used = new Set([
    ...operations.flatMap(({ inputs, output }) => [...inputs, output]),
    ...program.inputs.map(({ value }) => value),
  ]);
  return { ...program, operations, values: new Map([...program.values].filter(([name]) => used.has(name))) };
}

function fuse(maker: Operation, activation: Operation, target: Target): Operation | undefined {
  if (activation.kind !== 'unary' || !isFusing(maker) || maker.activation) return undefined;
  const name = activation.function as Activation['function'];
  if (!FUSABLE.has(name) || !target.fuses(maker.kind, name)) return undefined;
  if (maker.kind === 'binary' && !ARITHMETIC.has(maker.function)) return undefined;
  return { ...maker, output: activation.output, activation: { function: name, alpha: activation.alpha } };
}

function isFusing(operation: Operation): operation is Fusing {
  return ['conv2d', 'depthwiseConv2d', 'conv3d', 'binary', 'fullyConnected'].includes(operation.kind);
}
