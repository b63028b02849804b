import { describe, expect, it } from 'vitest';
import type { Graph } from '../../src/ir/graph.js';
import { parseGraph } from '../../src/ir/parse.js';
import { printGraph } from '../../src/ir/print.js';
import { Tensor } from '../../src/ir/tensor.js';
import { createRandom } from '../../src/math/random.js';
import { semantics } from '../../src/ops/index.js';
import { canonicalize } from '../../src/passes/canonicalize.js';
import { patterns } from '../support/patterns.js';
import { largestDifference, runGraph } from '../support/run-graph.js';
import { countOf, runPass } from '../support/run-pass.js';

/** A graph over an input x, in the text form without its head; weights are `normal(seed=…)`. */
function graphOf(x: string, body: string): Graph {
  const text = `graph g(%x: f32[${x}]) { ${body} }`;
  return parseGraph(text, semantics, (_, { seed }, count) => {
    const random = createRandom(seed);
    return Float32Array.from({ length: count }, random.normal);
  });
}

/** The graph after the pass, which must compute the same as before and stay as it is the second time. */
async function canonical(before: Graph, sizes?: Readonly<Record<string, number>>): Promise<Graph> {
  const { graph } = await runPass(canonicalize, before, {});
  const again = await runPass(canonicalize, graph, {});
  expect(again.graph).toBe(graph);
  expect(again.changes).toEqual([]);
  expect(graph.outputs).toEqual(before.outputs);
  expect(largestDifference(await runGraph(before, { sizes }), await runGraph(graph, { sizes }))).toBeLessThan(1e-5);
  return graph;
}

async function operatorsAfter(x: string, body: string): Promise<string> {
  const graph = await canonical(graphOf(x, body));
  return graph.nodes.map(({ op }) => op).join(' ');
}

describe('what changes nothing disappears', () => {
  it('Identity, Dropout, and a Cast to the same type', async () => {
    const body = '%a = Relu(%x) %b = Identity(%a) %c = Dropout(%b) %d = Cast(%c) {to=1} %y = Neg(%d) return %y';
    expect(await operatorsAfter('1,2,4,4', body)).toBe('Relu Neg');
  });

  it('before an output, whose name goes to what makes it', async () => {
    const graph = await canonical(graphOf('1,2,4,4', '%a = Relu(%x) %y = Identity(%a) %z = Neg(%a) return %y, %z'));
    expect(graph.nodes.map(({ op, inputs, outputs }) => [op, ...inputs, ...outputs])).toEqual([
      ['Relu', 'x', 'y'],
      ['Neg', 'y', 'z'],
    ]);
  });

  it('but not between an input and an output, nor between two outputs', async () => {
    expect(await operatorsAfter('1,2', '%y = Identity(%x) return %y')).toBe('Identity');
    expect(await operatorsAfter('1,2', '%a = Relu(%x) %y = Identity(%a) return %a, %y')).toBe('Relu Identity');
  });

  it('nor a Cast to another type, nor a Dropout whose mask is read', async () => {
    const toDouble = '%d = Cast(%x) {to=11} %e = Neg(%d) %y = Cast(%e) {to=1} return %y';
    expect(await operatorsAfter('1,2', toDouble)).toBe('Cast Neg Cast');
    const masked = '%d, %m = Dropout(%x) %f = Cast(%m) {to=1} %y = Mul(%d, %f) return %y';
    expect(await operatorsAfter('1,2', masked)).toBe('Dropout Cast Mul');
  });

  it('a Reshape to the same shape, whatever its symbols stand for', async () => {
    const same = '%s = Shape(%x) %a = Reshape(%x, %s) %y = Relu(%a) return %y';
    expect(await operatorsAfter('n,2,h,w', same)).toBe('Relu');
  });

  it('a Pad by nothing', async () => {
    const pads = '%p = const i64[8] {0,0,0,0,0,0,0,0}';
    expect(await operatorsAfter('1,2,4,4', `${pads} %a = Pad(%x, %p) %y = Relu(%a) return %y`)).toBe('Relu');
    const some = pads.replace('{0,0,0', '{0,0,1');
    expect(await operatorsAfter('1,2,4,4', `${some} %a = Pad(%x, %p) %y = Relu(%a) return %y`)).toBe('Pad Relu');
  });
});

describe('shape arithmetic', () => {
  const to = (shape: string) => `%one = const i64[1] {1} %s = Shape(%x) %c = Gather(%s, %one) ${shape}`;

  it('over known sizes becomes a constant', async () => {
    const body = to('%m = const i64[1] {-1} %t = Concat(%c, %m) {axis=0} %a = Reshape(%x, %t) %y = Relu(%a) return %y');
    const graph = await canonical(graphOf('1,4,8,8', body));
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Reshape', 'Relu']);
    expect([...(graph.constants.get('t')?.toNumbers() ?? [])]).toEqual([4, -1]);
  });

  it('keeps a symbol; the known size beside it stays computed where a number could not follow every reader', async () => {
    const body = (more: string) =>
      to(
        '%i = const i64[1] {2} %h = Gather(%s, %i) %t = Concat(%c, %h) {axis=0} %e = ConstantOfShape(%t) ' +
          `%m = const i64[1] {-1} %r = Reshape(%e, %m) %v = Relu(%r) return %v${more}`,
      );
    const sizes = { n: 2, h: 5, w: 3 };
    const once = await canonical(graphOf('n,4,h,w', body('')), sizes);
    expect([...(once.constants.get('c')?.toNumbers() ?? [])]).toEqual([4]);
    expect(countOf(once, 'Gather')).toBe(1);
    const shared = body(', %q').replace('%m =', '%q = ConstantOfShape(%t) %m =');
    expect(countOf(await canonical(graphOf('n,4,h,w', shared), sizes), 'Gather')).toBe(2);
  });

  it('stays where the model gives it out', async () => {
    const body = '%s = Shape(%x) %y = Cast(%s) {to=1} return %y';
    expect(await operatorsAfter('1,4', body)).toBe('Shape Cast');
  });
});

describe('weights', () => {
  it('are transposed and reshaped where they lie', async () => {
    const body =
      '%w = const f32[1,1,3,8] normal(seed=1) %t = Transpose(%w) {perm=[3,2,0,1]} %k = const i64[4] {8,3,1,1} ' +
      '%v = Reshape(%t, %k) %y = Conv(%x, %v) return %y';
    expect(await operatorsAfter('1,3,4,4', body)).toBe('Conv');
  });

  it('in half precision are read as single where a Cast says so', async () => {
    const half = Tensor.encode(
      'f16',
      [4, 3, 1, 1],
      Array.from({ length: 12 }, (_, i) => i / 7 - 0.5),
    );
    const before = graphOf(
      '1,3,4,4',
      '%w = const f16[8,3,1,1] normal(seed=1) %v = Cast(%w) {to=1} %y = Conv(%x, %v) return %y',
    );
    const graph = await canonical(before.with({ constants: new Map([['w', half]]) }));
    const weight = graph.constants.get('v') as Tensor;
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Conv']);
    expect(weight.dtype).toBe('f32');
    expect(weight.take(0, [2, 1]).toFloat64()).toEqual(half.take(0, [2, 1]).toFloat64());
  });

  it('are not rounded: a Cast to half precision stays', async () => {
    const body =
      '%w = const f32[6,6] normal(seed=1) %h = Cast(%w) {to=10} %f = Cast(%h) {to=1} %y = MatMul(%x, %f) return %y';
    expect(await operatorsAfter('1,6', body)).toBe('Cast Cast MatMul');
  });
});

describe('Transpose and Reshape', () => {
  it('two Transposes join, or cancel', async () => {
    const twice = (second: string) => `%a = Transpose(%x) {perm=[0,2,3,1]} %b = Transpose(%a) {perm=${second}}`;
    expect(await operatorsAfter('1,2,3,4', `${twice('[0,3,1,2]')} %y = Relu(%b) return %y`)).toBe('Relu');
    const joined = await canonical(graphOf('1,2,3,4', `${twice('[0,2,3,1]')} %y = Relu(%b) return %y`));
    expect(joined.nodes[0].attributes.perm).toEqual([0, 3, 1, 2]);
  });

  it('two Transposes stay where the first is read elsewhere too and they do not cancel', async () => {
    const body =
      '%a = Transpose(%x) {perm=[0,2,3,1]} %b = Transpose(%a) {perm=[0,2,3,1]} %y = Relu(%b) %z = Neg(%a) return %y, %z';
    expect(await operatorsAfter('1,2,3,4', body)).toBe('Transpose Transpose Relu Neg');
  });

  const twice = (first: string, second: string) =>
    `%s = const i64[3] {${first}} %t = const i64[3] {${second}} %a = Reshape(%x, %s) %b = Reshape(%a, %t)`;

  it('two Reshapes join', async () => {
    expect(await operatorsAfter('2,3,4,5', `${twice('2,12,5', '3,-1,4')} %y = Relu(%b) return %y`)).toBe(
      'Reshape Relu',
    );
    expect(await operatorsAfter('2,3,4,5', `${twice('2,12,5', '0,-1,4')} %y = Relu(%b) return %y`)).toBe(
      'Reshape Relu',
    );
  });

  it('two Reshapes stay where the second copies a size that only the first makes', async () => {
    const body = `${twice('6,4,5', '0,5,-1')} %y = Relu(%b) return %y`;
    expect(await operatorsAfter('2,3,4,5', body)).toBe('Reshape Reshape Relu');
  });
});

describe('norms', () => {
  const groupNorm = (groups: number, affine = '%m = Mul(%r, %g) %y = Add(%m, %b)') =>
    `%one = const f32[${groups}] {${Array(groups).fill(1)}} %zero = const f32[${groups}] {${Array(groups).fill(0)}} ` +
    `%k = const i64[3] {0,${groups},-1} %a = Reshape(%x, %k) %i = InstanceNormalization(%a, %one, %zero) {epsilon=0.5} ` +
    '%s = Shape(%x) %r = Reshape(%i, %s) ' +
    `%g = const f32[6,1,1] normal(seed=1) %b = const f32[6,1,1] normal(seed=2) ${affine}`;

  it('GroupNorm as PyTorch exports it, with its parameters for each channel', async () => {
    const graph = await canonical(graphOf('n,6,h,w', `${groupNorm(3)} return %y`));
    expect(graph.nodes.map(({ op, attributes }) => [op, attributes])).toEqual([
      ['GroupNormalization', { epsilon: 0.5, num_groups: 3 }],
    ]);
    expect(graph.constants.get('g')?.shape).toEqual([6]);
  });

  it('of single channels it is an InstanceNormalization; parameters may be missing', async () => {
    expect(await operatorsAfter('n,6,h,w', `${groupNorm(6)} return %y`)).toBe('InstanceNormalization');
    expect(await operatorsAfter('n,6,h,w', `${groupNorm(2, '%y = Relu(%r)')} return %y`)).toBe(
      'GroupNormalization Relu',
    );
    expect(await operatorsAfter('n,6,h,w', `${groupNorm(2, '%y = Add(%r, %b)')} return %y`)).toBe('GroupNormalization');
  });

  it('leaves a factor for each column alone', async () => {
    const body = groupNorm(2, '%c = const f32[1,1,1,6] normal(seed=3) %y = Mul(%r, %c)');
    expect(await operatorsAfter('n,6,6,6', `${body} return %y`)).toBe('GroupNormalization Mul');
  });

  it('is no GroupNorm where the rows are no groups of an image, or a row is read elsewhere', async () => {
    const merged = groupNorm(3).replace('{0,3,-1}', '{1,3,-1}');
    expect(await operatorsAfter('2,6,4,4', `${merged} return %y`)).toContain('InstanceNormalization');
    const read = `${groupNorm(3)} %z = Relu(%i) return %y, %z`;
    expect(await operatorsAfter('n,6,h,w', read)).toContain('InstanceNormalization');
    const scaled = groupNorm(3).replace('{1,1,1}', '{1,2,1}');
    expect(await operatorsAfter('n,6,h,w', `${scaled} return %y`)).toContain('InstanceNormalization');
  });

  const layerNorm = (axes: string, more = '') =>
    `%k = const i64[${axes.split(',').length}] {${axes}} %two = const f32[] {2} %e = const f32[] {0.01} ` +
    '%mean = ReduceMean(%x, %k) %d = Sub(%x, %mean) %q = Pow(%d, %two) %v = ReduceMean(%q, %k) ' +
    '%f = Add(%v, %e) %r = Sqrt(%f) %n = Div(%d, %r) ' +
    `%g = const f32[6] normal(seed=1) %b = const f32[6] normal(seed=2) %m = Mul(%n, %g) %y = Add(%m, %b) ${more}`;

  it('LayerNorm over the last axes', async () => {
    const graph = await canonical(graphOf('2,4,6', `${layerNorm('-1')} return %y`));
    expect(graph.nodes.map(({ op, attributes }) => [op, attributes.axis])).toEqual([['LayerNormalization', 2]]);
  });

  it('is none over an axis in the middle, nor where the variance is read elsewhere', async () => {
    expect(await operatorsAfter('2,4,6', `${layerNorm('1')} return %y`)).not.toContain('LayerNormalization');
    const read = `${layerNorm('2', '%z = Relu(%v)')} return %y, %z`;
    expect(await operatorsAfter('2,4,6', read)).not.toContain('LayerNormalization');
  });
});

describe('activations', () => {
  const gate =
    '%three = const f32[] {3} %low = const f32[] {0} %six = const f32[] {6} %a = Add(%x, %three) %c = Clip(%a, %low, %six)';

  it('HardSigmoid and HardSwish that were taken apart', async () => {
    expect(await operatorsAfter('1,2,4,4', `${gate} %y = Div(%c, %six) return %y`)).toBe('HardSigmoid');
    expect(await operatorsAfter('1,2,4,4', `${gate} %h = Div(%c, %six) %y = Mul(%h, %x) return %y`)).toBe('HardSwish');
    expect(await operatorsAfter('1,2,4,4', `${gate} %p = Mul(%x, %c) %y = Div(%p, %six) return %y`)).toBe('HardSwish');
    const sixth = `${gate} %s = const f32[] {${Math.fround(1 / 6)}} %y = Mul(%s, %c) return %y`;
    expect(await operatorsAfter('1,2,4,4', sixth)).toBe('HardSigmoid');
  });

  it('others stay: other numbers, or a step that is read elsewhere', async () => {
    const other = gate.replace('{3}', '{2}');
    expect(await operatorsAfter('1,2,4,4', `${other} %y = Div(%c, %six) return %y`)).toBe('Add Clip Div');
    expect(await operatorsAfter('1,2,4,4', `${gate} %y = Div(%six, %c) return %y`)).toBe('Add Clip Div');
    expect(await operatorsAfter('1,2,4,4', `${gate} %y = Div(%c, %six) return %y, %c`)).toBe('Add Clip Div');
  });
});

describe('dense layers', () => {
  const weight = '%w = const f32[4,3] normal(seed=1) %b = const f32[3] normal(seed=2)';

  it('MatMul and Add are a Gemm, which has the layer name', async () => {
    const graph = await canonical(graphOf('2,4', `${weight} %p = MatMul(%x, %w) %y = Add(%b, %p) return %y`));
    expect(graph.nodes.map(({ op, name }) => [op, name])).toEqual([['Gemm', 'p']]);
  });

  it('but not of another rank, nor with a product that is read elsewhere', async () => {
    const body = `${weight} %p = MatMul(%x, %w) %y = Add(%p, %b)`;
    expect(await operatorsAfter('5,2,4', `${body} return %y`)).toBe('MatMul Add');
    expect(await operatorsAfter('2,4', `${body} return %y, %p`)).toBe('MatMul Add');
    const column = body.replace('f32[3] normal', 'f32[3,1] normal');
    expect(await operatorsAfter('3,4', `${column} return %y`)).toBe('MatMul Add');
  });

  it('alpha and beta go into the constants, a shared one into a copy', async () => {
    const body = `${weight} %a = Gemm(%x, %w, %b) {alpha=0.5, beta=2} %c = Gemm(%x, %w) %y = Add(%a, %c) return %y`;
    const graph = await canonical(graphOf('2,4', body));
    expect(graph.nodes.map(({ op, attributes }) => [op, attributes])).toEqual([
      ['Gemm', {}],
      ['Gemm', {}],
      ['Add', {}],
    ]);
    expect([...graph.constants.keys()].sort()).toEqual(['b', 'w', 'w_1']);
  });

  it('a factor of a computed matrix stays', async () => {
    const graph = await canonical(graphOf('3,3', '%r = Relu(%x) %y = Gemm(%x, %r) {alpha=2} return %y'));
    expect(graph.nodes.at(-1)?.attributes).toEqual({ alpha: 2 });
  });
});

describe('zero-stuffed kernels', () => {
  /** A depthwise kernel whose taps are 0 but at multiples of `step`. */
  function stuffed(size: number, step: number): Tensor {
    const random = createRandom(3);
    const isTap = (i: number) => (i % size) % step === 0 && (Math.floor(i / size) % size) % step === 0;
    return Tensor.floats(
      Array.from({ length: 2 * size * size }, (_, i) => (isTap(i) ? random.normal() : 0)),
      [2, 1, size, size],
    );
  }

  async function convAfter(weight: Tensor, attributes = '', more = 'return %y') {
    const shape = weight.shape.join();
    const body = `%w = const f32[${shape}] normal(seed=1) %y = Conv(%x, %w) {group=2, pads=[2,2,2,2]${attributes}} ${more}`;
    const before = graphOf('1,2,17,17', body);
    const graph = await canonical(before.with({ constants: new Map([['w', weight]]) }));
    return { kernel: graph.constants.get('w')?.shape.slice(2), ...graph.nodes[0].attributes };
  }

  it('become dilations', async () => {
    expect(await convAfter(stuffed(5, 2))).toMatchObject({ kernel: [3, 3], dilations: [2, 2], pads: [2, 2, 2, 2] });
    expect(await convAfter(stuffed(9, 4))).toMatchObject({ kernel: [3, 3], dilations: [4, 4] });
    const dilated = await convAfter(stuffed(5, 2), ', dilations=[2,2], strides=[2,2]');
    expect(dilated).toMatchObject({ kernel: [3, 3], dilations: [4, 4], strides: [2, 2] });
  });

  it('stay where a single tap lies off the lattice, where all are 0, and where another layer reads the weight', async () => {
    const off = stuffed(5, 2).toFloat64();
    off[49] = off[48];
    off[43] = 1e-30;
    expect(await convAfter(Tensor.floats(off, [2, 1, 5, 5]))).toMatchObject({ kernel: [5, 5] });
    expect(await convAfter(Tensor.floats(new Float32Array(50), [2, 1, 5, 5]))).toMatchObject({ kernel: [5, 5] });
    const shared = '%z = Conv(%x, %w) {group=2} return %y, %z';
    expect(await convAfter(stuffed(5, 2), '', shared)).toMatchObject({ kernel: [5, 5] });
  });
});

describe('Pad before a convolution', () => {
  const padded = (pads: string, conv = '', more = 'return %y') =>
    `%p = const i64[8] {${pads}} %w = const f32[4,2,3,3] normal(seed=1) ` +
    `%a = Pad(%x, %p) %y = Conv(%a, %w) {strides=[2,2]${conv}} ${more}`;

  it('goes into its pads', async () => {
    const graph = await canonical(graphOf('n,2,h,w', padded('0,0,0,1,0,0,1,2', ', pads=[1,0,0,0]')));
    expect(graph.nodes.map(({ attributes }) => attributes)).toEqual([{ strides: [2, 2], pads: [1, 1, 1, 2] }]);
    const valid = await canonical(graphOf('n,2,h,w', padded('0,0,1,1,0,0,1,1', ', auto_pad="VALID"')));
    expect(valid.nodes.map(({ attributes }) => attributes)).toEqual([{ strides: [2, 2], pads: [1, 1, 1, 1] }]);
  });

  it('with named axes too', async () => {
    const body =
      '%p = const i64[4] {1,2,3,4} %none = const f32[] {0} %k = const i64[2] {-1,2} ' +
      '%w = const f32[4,2,3,3] normal(seed=1) %a = Pad(%x, %p, %none, %k) %y = Conv(%a, %w) return %y';
    const graph = await canonical(graphOf('1,2,8,8', body));
    expect(graph.nodes[0].attributes.pads).toEqual([2, 1, 4, 3]);
  });

  it('stays where it is anything else', async () => {
    expect(await operatorsAfter('1,2,8,8', padded('0,0,1,1,0,0,1,1', ', auto_pad="SAME_UPPER"'))).toBe('Pad Conv');
    expect(await operatorsAfter('1,2,8,8', padded('0,0,-1,1,0,0,1,1'))).toBe('Pad Conv');
    expect(await operatorsAfter('1,1,8,8', padded('0,1,0,0,0,0,0,0'))).toBe('Pad Conv');
    expect(await operatorsAfter('1,2,8,8', padded('0,0,1,1,0,0,1,1', '', 'return %y, %a'))).toBe('Pad Conv');
    const ones = padded('0,0,1,1,0,0,1,1').replace('Pad(%x, %p)', 'Pad(%x, %p, %c)');
    expect(await operatorsAfter('1,2,8,8', `%c = const f32[] {1} ${ones}`)).toBe('Pad Conv');
    const reflected = padded('0,0,1,1,0,0,1,1').replace('Pad(%x, %p)', 'Pad(%x, %p) {mode="reflect"}');
    expect(await operatorsAfter('1,2,8,8', reflected)).toBe('Pad Conv');
    const pooled =
      '%p = const i64[8] {0,0,1,1,0,0,1,1} %a = Pad(%x, %p) %y = MaxPool(%a) {kernel_shape=[2,2]} return %y';
    expect(await operatorsAfter('1,2,8,8', pooled)).toBe('Pad MaxPool');
  });
});

describe('small networks of every kind', () => {
  it.each(patterns)('$name', async ({ make, sizes }) => {
    await canonical(make(), sizes);
  });
});

it('leaves a graph that is in its form as it is', async () => {
  const graph = graphOf('1,2,8,8', '%w = const f32[4,2,3,3] normal(seed=1) %c = Conv(%x, %w) %y = Relu(%c) return %y');
  expect((await runPass(canonicalize, graph, {})).graph).toBe(graph);
  expect(printGraph(graph)).toContain('Relu');
});
