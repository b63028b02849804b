import { Tensor } from '../../ir/tensor.js';
import { nameOfChanged, privateMaker, withConstant } from './match.js';
import { type RewriteScope, type Rule, replaceNode } from './rule.js';

/** A·B + c = gemm(A, B, c) for matrices A, B and a row vector c. */
export const biasIntoMatMul: Rule = {
  action: 'joined with its MatMul into a Gemm',
  ops: ['Add'],
  apply(scope, node) {
    const { graph } = scope;
    const bias = withConstant(scope, node);
    const product = bias && privateMaker(graph, bias.value, 'MatMul');
    if (!bias || !product) return undefined;
    const [rows, columns] = product.inputs.map((input) => graph.type(input).shape);
    const [length] = columns?.slice(-1) ?? [];
    if (rows?.length !== 2 || columns?.length !== 2 || !scope.constant(product.inputs[1])) return undefined;
    if (bias.tensor.size !== length || bias.tensor.shape.length > 2 || bias.tensor.shape.at(-1) !== length)
      return undefined;
    const name = nameOfChanged(scope, bias.name);
    const gemm = {
      op: 'Gemm',
      name: product.name,
      inputs: [...product.inputs, name],
      outputs: node.outputs,
      attributes: {},
    };
    return replaceNode(node, gemm, new Map([[name, bias.tensor.reshape([length])]]));
  },
};

/** α·A·B + β·C = A·(α·B) + (β·C) where B and C are constants; a β of 0 drops C. */
export const factorsIntoGemm: Rule = {
  action: 'alpha and beta folded into its constants',
  ops: ['Gemm'],
  apply(scope, node) {
    const { alpha = 1, beta = 1, ...attributes } = node.attributes as Record<string, number>;
    const [a, weight, bias = ''] = node.inputs;
    const constants = new Map<string, Tensor>();
    const scaled = scaledConstant(scope, weight, alpha, constants);
    const shift = bias === '' || beta === 0 ? '' : scaledConstant(scope, bias, beta, constants);
    if ((alpha === 1 && beta === 1) || scaled === undefined || shift === undefined) return undefined;
    const inputs = shift === '' ? [a, scaled] : [a, scaled, shift];
    return replaceNode(node, { ...node, inputs, attributes, origin: undefined }, constants);
  },
};

/** The name of `factor` times a constant, or of the value itself where the factor is 1; undefined where it is computed. */
function scaledConstant(
  scope: RewriteScope,
  name: string,
  factor: number,
  constants: Map<string, Tensor>,
): string | undefined {
  if (factor === 1) return name;
  const tensor = scope.constant(name);
  if (!tensor) return undefined;
  const changed = nameOfChanged(scope, name);
  const values = tensor.toFloat64().map((value) => value * factor);
  constants.set(changed, Tensor.encode(tensor.dtype, tensor.shape, values));
  return changed;
}
