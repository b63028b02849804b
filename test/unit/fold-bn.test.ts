import { describe, expect, it } from 'vitest';
import type { Graph } from '../../src/ir/graph.js';
import { parseGraph } from '../../src/ir/parse.js';
import { printGraph } from '../../src/ir/print.js';
import { semantics } from '../../src/ops/index.js';
import { foldBn } from '../../src/passes/fold-bn.js';
import { patterns } from '../support/patterns.js';
import { countOf, runPass } from '../support/run-pass.js';

const PARAMETERS = `
  %gamma = const f32[2] {2, 4}
  %beta = const f32[2] {1, -1}
  %zero = const f32[2] {0, 0}
  %one = const f32[2] {1, 1}`;

function graphOf(body: string, dtype = 'f32'): Graph {
  return parseGraph(`graph g(%x: ${dtype}[1,2,4,4]) {${PARAMETERS}\n${body}\n}`.replaceAll('f32', dtype), semantics);
}

async function fold(graph: Graph) {
  return runPass(foldBn, graph, {});
}

describe('fold-bn', () => {
  it('leaves one Add of the shift behind where zero padding follows, and none elsewhere', async () => {
    const pattern = (name: string) => patterns.find((candidate) => candidate.name === name)?.make() as Graph;
    const adds = async (name: string) => countOf((await fold(pattern(name))).graph, 'Add');
    expect(await adds('bn-late-through-everything')).toBe(0);
    expect(await adds('bn-before-unpadded')).toBe(0);
    expect(await adds('bn-before-padded')).toBe(1);
    // The sum itself, and the shift that its first operand has before a padded convolution.
    expect(await adds('bn-residual-sum')).toBe(2);
    // Of five BatchNormalizations in the paper's order, four stand before zero padding and one before a 1x1 convolution.
    expect(await adds('bn-late-unet')).toBe(4);
    expect(await adds('bn-late-valid')).toBe(0);
    expect(await adds('bn-scalars')).toBe(0);
    expect(await adds('unet')).toBe(0);
  });

  it('keeps the names of the weights that it changes', async () => {
    const { graph } = await fold(patterns[0].make());
    expect([...graph.constants.keys()].filter((name) => name.startsWith('conv2'))).toEqual([
      'conv2.weight',
      'conv2.bias',
    ]);
  });

  it('gives no layer the name of a constant that is there already', async () => {
    const { graph } = await fold(
      graphOf(`%w.weight = const f32[2,2,1,1] {1, 0, 0, 1}
  %w.bias = const f32[2,1,1] {5, 5}
  %c = Conv(%x, %w.weight)
  %b = BatchNormalization(%c, %gamma, %beta, %zero, %one) {epsilon=0}
  %r = Relu(%b)
  %y = Mul(%r, %w.bias)
  %z = Sigmoid(%r)
  return %y, %z`),
    );
    expect(graph.nodes[0].inputs).toEqual(['x', 'w.weight', 'w.bias_1']);
  });

  it('does not fold what half precision cannot hold', async () => {
    const { graph, changes } = await fold(
      graphOf(
        `%w = const f32[2,2,1,1] {40000, 0, 0, 1}
  %c = Conv(%x, %w)
  %y = BatchNormalization(%c, %gamma, %beta, %zero, %one) {epsilon=0}
  return %y`,
        'f16',
      ),
    );
    expect(countOf(graph, 'BatchNormalization')).toBe(1);
    expect(changes).toEqual([
      expect.objectContaining({
        action: 'kept',
        reason: expect.stringContaining("weights of Conv 'c' would overflow"),
      }),
    ]);
  });

  it('does not leave a shift that half precision cannot hold', async () => {
    const { graph, changes } = await fold(
      graphOf(
        `%w = const f32[2,2,1,3] {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}
  %small = const f32[2] {0.0001, 1}
  %large = const f32[2] {100, 1}
  %b = BatchNormalization(%x, %small, %large, %zero, %one) {epsilon=0}
  %y = Conv(%b, %w) {pads=[0,1,0,1]}
  return %y`.replace('const f32[2,2,1,3]', 'const f32[2,2,1,3]'),
        'f16',
      ),
    );
    expect(countOf(graph, 'BatchNormalization')).toBe(1);
    expect(changes[0].reason).toContain('its shift would overflow');
  });

  it('counts a negative running variance as 0 and warns once', async () => {
    const { warnings, graph } = await fold(
      graphOf(`%w = const f32[2,2,1,1] {1, 0, 0, 1}
  %negative = const f32[2] {-0.5, 1}
  %c = Conv(%x, %w)
  %y = BatchNormalization(%c, %gamma, %beta, %zero, %negative) {epsilon=1}
  return %y`),
    );
    expect(warnings).toEqual(["BatchNormalization 'y' has a negative running variance; it counts as 0"]);
    expect(printGraph(graph)).toContain('%w = const f32[2,2,1,1] {2, 0, 0, 2.828427}');
  });

  it.each([
    ['%y = Relu(%b)', "no layer makes 'x'; Relu 'y' lets no shift pass"],
    ['%y = Identity(%b)', "'y' is an output of the model"],
    ['%y = Opaque.TopK(%b) : f32[?]', "Opaque 'y' does not let it pass"],
  ])('says why it keeps a BatchNormalization before %s', async (reader, reason) => {
    const { changes } = await fold(
      graphOf(`%b = BatchNormalization(%x, %gamma, %beta, %zero, %one)\n  ${reader}\n  return %y`),
    );
    expect(changes).toEqual([expect.objectContaining({ layer: 'b', reason: expect.stringContaining(reason) })]);
  });

  it.each([
    ['a zero scale', '{0, 1}', 'some of its scales are 0'],
    ['a negative scale behind a ReLU', '{-1, 1}', "Relu 'r' lets only positive scales pass"],
  ])('says why it keeps %s', async (_, scale, reason) => {
    const { changes } = await fold(
      graphOf(`%w = const f32[2,2,1,1] {1, 0, 0, 1}
  %scale = const f32[2] ${scale}
  %c = Conv(%x, %w)
  %r = Relu(%c)
  %b = BatchNormalization(%r, %scale, %beta, %zero, %one)
  %s = Sigmoid(%b)
  %y = Conv(%b, %w) {pads=[1,1,1,1]}
  return %y${scale.startsWith('{0') ? '' : ', %s'}`),
    );
    expect(changes).toEqual([expect.objectContaining({ layer: 'b', reason: expect.stringContaining(reason) })]);
  });

  it('leaves alone what is no affine of channels', async () => {
    const graph = graphOf(`%w = const f32[2,2,1,1] {1, 0, 0, 1}
  %row = const f32[4] {1, 2, 3, 4}
  %deep = const f32[1,1,1,1,1] {2}
  %c = Conv(%x, %w)
  %a = Add(%c, %row)
  %d = Conv(%x, %w)
  %e = Mul(%d, %deep)
  %f = Conv(%x, %w)
  %two = const f32[1] {2}
  %g = Div(%two, %f)
  return %a, %e, %g`);
    const { graph: folded, changes } = await fold(graph);
    expect(printGraph(folded)).toBe(printGraph(graph));
    expect(changes).toEqual([]);
  });

  it('folds into Gemm only where it multiplies plainly', async () => {
    const body = (attributes: string) => `%w = const f32[32,2] uniform(seed=1)
  %flat = Flatten(%x)
  %m = Gemm(%flat, %w) {${attributes}}
  %y = BatchNormalization(%m, %gamma, %beta, %zero, %one)
  return %y`;
    const left = async (attributes: string) => {
      const text = `graph g(%x: f32[1,2,4,4]) {${PARAMETERS}\n${body(attributes)}\n}`;
      const graph = parseGraph(text, semantics, (_, __, count) => new Float32Array(count).fill(1));
      return countOf((await fold(graph)).graph, 'BatchNormalization');
    };
    expect(await left('transB=0')).toBe(0);
    expect(await left('alpha=2')).toBe(1);
  });

  it('ends on a long chain without a layer', async () => {
    const relus = Array.from({ length: 3000 }, (_, i) => `%r${i + 1} = Relu(%r${i})`).join('\n');
    const graph = graphOf(`%r0 = Relu(%x)\n${relus}
  %y = BatchNormalization(%r3000, %gamma, %zero, %zero, %one)
  return %y`);
    const { changes } = await fold(graph);
    expect(changes[0].reason).toContain('too far away');
  });
});
