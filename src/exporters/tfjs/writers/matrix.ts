import type { Call, GraphWriter, Writer } from '../graph-writer.js';
import { fusedAttributes } from './activation.js';

const NOT_TRANSPOSED = { transpose_a: { b: false }, transpose_b: { b: false } };

const matMul: Writer<'matMul'> = ({ inputs }, graph) => ({
  op: 'BatchMatMulV2',
  inputs: graph.readAll(inputs),
  attributes: { adj_x: { b: false }, adj_y: { b: false } },
});

const fullyConnected: Writer<'fullyConnected'> = ({ inputs, output, activation }, graph) => {
  const [x, weights, bias] = inputs;
  const [width, depth] = graph.shape(weights);
  // The fast kernel multiplies two matrices, neither of them transposed.
  const factors = [asMatrix(x, depth, output, graph), graph.permuted(weights, [1, 0])];
  if (bias === undefined && !activation)
    return shaped({ op: 'MatMul', inputs: factors, attributes: NOT_TRANSPOSED }, output, graph);
  const added = bias === undefined ? graph.floats(`${output}/bias`, Array(width).fill(0)) : graph.read(bias);
  const attributes = { ...NOT_TRANSPOSED, ...fusedAttributes(activation) };
  return shaped({ op: '_FusedMatMul', inputs: [...factors, added], attributes }, output, graph);
};

function asMatrix(x: string, depth: number, output: string, graph: GraphWriter): string {
  const shape = graph.shape(x);
  if (shape.length === 2) return graph.read(x);
  const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
  const inputs = [graph.read(x), graph.integers(`${output}/rows`, [rows, depth])];
  return graph.add(`${output}/matrix`, { op: 'Reshape', inputs });
}

/** A matrix in the shape of the output. */
function shaped(product: Call, output: string, graph: GraphWriter): Call {
  const shape = graph.shape(output);
  if (shape.length === 2) return product;
  const matrix = graph.add(`${output}/product`, product);
  return { op: 'Reshape', inputs: [matrix, graph.integers(`${output}/shape`, shape)] };
}

export const matrixWriters = { matMul, fullyConnected };
