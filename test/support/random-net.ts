import fc from 'fast-check';
import type { Graph } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import { Net } from './patterns-net.js';

/** One node of a random net: what it does, and which of the values so far it does it to. */
interface Move {
  readonly kind: number;
  readonly first: number;
  readonly second: number;
}

export interface RandomNet {
  readonly seed: number;
  readonly moves: readonly Move[];
  /** Give out an inner value, too. */
  readonly inner: boolean;
}

export const randomNets: fc.Arbitrary<RandomNet> = fc.record({
  seed: fc.integer({ min: 1, max: 1000 }),
  moves: fc.array(fc.record({ kind: fc.nat(99), first: fc.nat(99), second: fc.nat(99) }), {
    minLength: 3,
    maxLength: 14,
  }),
  inner: fc.boolean(),
});

type Step = (net: Net, a: string, b: string) => string;

const STEPS: readonly Step[] = [
  (net, a) => net.conv(a, 6),
  (net, a) => net.conv(a, 8, { bias: true }),
  (net, a) => net.conv(a, 4, { kernel: 1 }),
  (net, a) => net.conv(a, 2 * net.channels(a), { group: net.channels(a) }),
  (net, a) => (net.channels(a) % 2 === 0 ? net.conv(a, 8, { group: 2, kernel: 1 }) : net.relu(a)),
  (net, a) => net.op('MaxPool', [net.up(a, 6)], { kernel_shape: [2, 2], strides: [2, 2] }),
  (net, a) => net.bn(a),
  (net, a) => net.bn(a, 'positive'),
  (net, a) => net.bn(a, 'positive'),
  (net, a) => net.relu(a),
  (net, a) => net.relu(a),
  (net, a) => net.op('LeakyRelu', [a], { alpha: 0.3 }),
  (net, a) => net.sigmoid(a),
  (net, a) => net.op('MaxPool', [a], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }),
  (net, a) => net.op('AveragePool', [a], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }),
  (net, a) => net.maxPool(net.scaleUp(a)),
  (net, a) => net.op('Mul', [a, net.perChannel(a, 'factor', 0.2, 1)]),
  (net, a) => net.op('Add', [net.perChannel(a, 'term'), a]),
  (net, a) => net.op('Div', [a, net.constant(net.name('scalar'), Tensor.floats([1.5], []))]),
  (net, a, b) => (net.channels(a) + net.channels(b) <= 40 ? net.concat(a, b) : net.relu(a)),
  (net, a, b) => (net.channels(a) === net.channels(b) ? net.add(a, b) : net.concat(a, b)),
  (net, a, b) => (net.channels(a) === net.channels(b) ? net.op('Mul', [a, b]) : net.relu(a)),
  (net, a) => net.slice(a, 1, net.channels(a), 1),
];

/** A net of 3 input channels and 8 x 9 pixels; all values keep that size, so that any two can meet. */
export function drawNet({ seed, moves, inner }: RandomNet): Graph {
  const net = new Net('random', seed);
  const values = [net.input([1, 3, 8, 9])];
  for (const { kind, first, second } of moves) {
    // Late values are taken more often, so that chains come about.
    const recent = (choice: number) => values[Math.max(0, values.length - 1 - (choice % 4) * (choice % 3))];
    const [a, b] = [recent(first), recent(second)];
    if (net.channels(a) <= 48) values.push(STEPS[kind % STEPS.length](net, a, b));
  }
  const last = values[values.length - 1];
  const outputs = [net.conv(last, 2), net.conv(values[Math.floor(values.length / 2)], 2, { kernel: 1 })];
  return net.build(...outputs, ...(inner ? [net.op('Identity', [values[values.length - 2]])] : []));
}
