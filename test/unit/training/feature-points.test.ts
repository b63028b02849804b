import { createReadStream, createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { bindShapes } from '../../../src/analysis/cost.js';
import { load } from '../../../src/importers/index.js';
import type { Graph } from '../../../src/ir/graph.js';
import type { Dim } from '../../../src/ir/types.js';
import { semantics } from '../../../src/ops/index.js';
import { canonicalize } from '../../../src/passes/canonicalize.js';
import { foldBn } from '../../../src/passes/fold-bn.js';
import { separable } from '../../../src/passes/separable.js';
import { student } from '../../../src/passes/student.js';
import { thin } from '../../../src/passes/thin.js';
import { featurePoints, matchedPoints } from '../../../src/training/feature-points.js';
import { restoreNormalization } from '../../../src/training/normalization.js';
import { Net } from '../../support/patterns-net.js';
import { runPass } from '../../support/run-pass.js';

const WIDTHS = [4, 6, 8, 10, 12];

interface Parts {
  block(net: Net, x: string, out: number): string;
  down(net: Net, x: string, out: number): string;
  up(net: Net, x: string, out: number): string;
}

const PLAIN: Parts = {
  block: (net, x, out) => net.block(net.block(x, out), out),
  down: (net, x) => net.maxPool(x),
  up: (net, x, out) => net.up(x, out),
};

/** Four levels down and up again, with skips; the ends of the blocks in order. */
function unet(
  { block, down, up }: Parts,
  shape: readonly Dim[] = ['n', 1, 'h', 'w'],
): { graph: Graph; ends: string[] } {
  const net = new Net('unet', 7);
  const skips: string[] = [];
  let x = block(net, net.input(shape), WIDTHS[0]);
  for (const width of WIDTHS.slice(1)) {
    skips.push(x);
    x = block(net, down(net, x, width), width);
  }
  const ends = [...skips, x];
  for (let level = 3; level >= 0; level--) {
    x = block(net, net.concat(skips[level], up(net, x, WIDTHS[level])), WIDTHS[level]);
    ends.push(x);
  }
  return { graph: net.build(net.sigmoid(net.conv(x, 1, { kernel: 1, bias: true }))), ends };
}

/** Zhou et al. 2018: node (i, j) reads all before it on its level and the one below. */
function nestedUnet(): { net: Net; nodes: string[][] } {
  const net = new Net('nested', 8);
  const nodes = [[PLAIN.block(net, net.input([1, 1, 32, 32]), WIDTHS[0])]];
  for (let i = 1; i < 5; i++) nodes.push([PLAIN.block(net, net.maxPool(nodes[i - 1][0]), WIDTHS[i])]);
  for (let j = 1; j < 5; j++)
    for (let i = 0; i + j < 5; i++)
      nodes[i].push(PLAIN.block(net, net.concat(...nodes[i], net.scaleUp(nodes[i + 1][j - 1])), WIDTHS[i]));
  return { net, nodes };
}

describe('featurePoints of five topologies', () => {
  it('a U-Net of max pools and transposed convolutions: one a block, nine in all', () => {
    const { graph, ends } = unet(PLAIN);
    expect(featurePoints(graph)).toEqual([2, 4, 6, 8, 10, 12, 14, 16, 18].map((i) => `relu${i}`));
    expect(featurePoints(graph)).toEqual(ends);
  });

  it('a U-Net of strided convolutions and nearest neighbours', () => {
    const { graph, ends } = unet({
      ...PLAIN,
      down: (net, x, out) => net.block(x, out, { stride: 2 }),
      up: (net, x, out) => net.block(net.scaleUp(x), out),
    });
    expect(featurePoints(graph)).toEqual(ends);
    expect(ends).toHaveLength(9);
  });

  it('a residual U-Net, whose blocks end behind the sum, or in the sum where the activations are inside', () => {
    const branches = (net: Net, x: string, out: number, last: (branch: string) => string) =>
      net.add(net.conv(x, out, { kernel: 1 }), last(net.conv(net.block(x, out), out)));
    const behind = unet({ ...PLAIN, block: (net, x, out) => net.relu(branches(net, x, out, (branch) => branch)) });
    expect(featurePoints(behind.graph)).toEqual(behind.ends);
    const inside = unet({ ...PLAIN, block: (net, x, out) => branches(net, x, out, (branch) => net.relu(branch)) });
    expect(featurePoints(inside.graph)).toEqual(inside.ends);
    expect(inside.ends).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => `add${i}`));
  });

  it('a nested U-Net: every node that a change of resolution or a head reads', () => {
    const deep = nestedUnet();
    const heads = deep.nodes[0].slice(1).map((x) => deep.net.conv(x, 1, { kernel: 1 }));
    const points = featurePoints(deep.net.build(...heads));
    expect([...points].sort()).toEqual(deep.nodes.flat().sort());
    expect(points).toHaveLength(15);

    const { net, nodes } = nestedUnet();
    const single = featurePoints(net.build(net.conv(nodes[0][4], 1, { kernel: 1 })));
    const withoutChange = nodes[0].slice(1, 4);
    expect([...single].sort()).toEqual(
      nodes
        .flat()
        .filter((node) => !withoutChange.includes(node))
        .sort(),
    );
  });

  it('a 3-D U-Net', () => {
    const { graph, ends } = unet(PLAIN, [1, 1, 16, 16, 16]);
    expect(featurePoints(graph)).toEqual(ends);
  });
});

describe('featurePoints', () => {
  function pointsOf(build: (net: Net) => string | string[]): string[] {
    const net = new Net('points', 9);
    net.input([1, 3, 16, 16]);
    return featurePoints(net.build(...[build(net)].flat()));
  }
  const head = (net: Net, x: string) => net.conv(x, 1, { kernel: 1 });

  it('leave the image out, scaled or not, and a second change right behind the first', () => {
    const points = pointsOf((net) => {
      const scaled = net.op('Mul', ['x', net.perChannel('x', 'scale')]);
      const stem = net.block(scaled, 4, { kernel: 7, stride: 2 });
      return head(net, net.relu(net.conv(net.maxPool(net.maxPool(stem)), 4)));
    });
    expect(points).toEqual(['relu1', 'relu2']);
  });

  it('take a bottleneck block once, at its end, though a strided convolution reads its inside', () => {
    const bottleneck = (net: Net, x: string, out: number) => {
      const inner = net.block(net.block(x, 4, { kernel: 1 }), 4, { stride: 2 });
      const shortcut = net.conv(x, out, { kernel: 1, stride: 2, padding: 0 });
      return net.relu(net.add(net.conv(inner, out, { kernel: 1 }), shortcut));
    };
    expect(pointsOf((net) => head(net, bottleneck(net, bottleneck(net, net.block('x', 8), 8), 12)))).toEqual([
      'relu1',
      'relu4',
      'relu7',
    ]);
  });

  it('take each of two encoders side by side', () => {
    const net = new Net('siamese', 9);
    const encode = (name: string) => net.block(net.maxPool(net.block(net.input([1, 1, 16, 16], name), 4)), 8);
    const graph = net.build(head(net, net.relu(net.conv(net.op('Sub', [encode('x'), encode('y')]), 4))));
    expect(featurePoints(graph)).toEqual(['relu1', 'relu3', 'relu5']);
  });

  it('take the gated map of squeeze-and-excitation, and nothing inside of it', () => {
    const points = pointsOf((net) => {
      const x = net.block('x', 8);
      const gate = net.sigmoid(net.conv(net.relu(net.conv(net.op('GlobalAveragePool', [x]), 4)), 8));
      return head(net, net.block(net.maxPool(net.op('Mul', [x, gate])), 8));
    });
    expect(points).toEqual(['mul1', 'relu3']);
  });

  it('leave out the pooled branch of a pyramid', () => {
    const points = pointsOf((net) => {
      const x = net.block(net.maxPool(net.block('x', 4)), 8);
      const pooled = net.resizeLike(net.block(net.op('GlobalAveragePool', [x]), 4, { kernel: 1 }), x);
      return head(net, net.block(net.concat(net.block(x, 4), pooled), 4));
    });
    expect(points).toEqual(['relu1', 'relu5']);
  });

  it('look through what folding moves behind an activation, and stop at a linear bottleneck', () => {
    expect(pointsOf((net) => head(net, net.block(net.maxPool(net.bn(net.block('x', 4))), 4)))).toEqual([
      'relu1',
      'relu2',
    ]);
    expect(pointsOf((net) => head(net, net.block(net.maxPool(net.bn(net.conv('x', 4))), 4)))).toEqual(['bn1', 'relu1']);
  });

  it('stop at the heads: what resizes or joins their results has no point', () => {
    const points = pointsOf((net) => {
      const top = net.block('x', 4);
      const bottom = net.block(net.maxPool(top), 4);
      const coarse = net.scaleUp(net.sigmoid(head(net, bottom)), 'linear');
      const fine = net.sigmoid(head(net, top));
      return [coarse, fine, head(net, net.concat(coarse, fine))];
    });
    expect(points).toEqual(['relu1', 'relu2']);
  });

  it('are no change where an unpadded convolution only cuts the border off', () => {
    expect(pointsOf((net) => head(net, net.block(net.block('x', 4, { padding: 0 }), 4, { padding: 0 })))).toEqual([
      'relu2',
    ]);
  });
});

async function thinnedAndFactorized(original: Graph, keep: number): Promise<Graph> {
  const canonical = await runPass(canonicalize, original, {});
  const folded = await runPass(foldBn, canonical.graph, {});
  const thinned = await runPass(thin, folded.graph, { keep, round: 1, shape: 'proportional' });
  return (await runPass(separable, thinned.graph, {})).graph;
}

describe('matchedPoints', () => {
  it('are all of a thinned and factorized student, also in training form', async () => {
    const teacher = bindShapes(unet(PLAIN).graph, new Map([['x', [1, 1, 32, 32]]]));
    const thinned = await thinnedAndFactorized(unet(PLAIN).graph, 0.5);
    const { graph: restored } = restoreNormalization(thinned, semantics);
    const smaller = bindShapes(restored, new Map([['x', [1, 1, 32, 32]]]));
    const matched = matchedPoints(teacher, smaller);
    expect(matched.map(({ value }) => value)).toEqual(featurePoints(teacher));
    expect(featurePoints(smaller)).toEqual(featurePoints(teacher));
    expect(matched.map(({ teacherChannels }) => teacherChannels)).toEqual([4, 6, 8, 10, 12, 10, 8, 6, 4]);
    expect(matched.map(({ studentChannels }) => studentChannels)).toEqual([2, 3, 4, 5, 6, 5, 4, 3, 2]);
    expect(matched.map(({ size }) => size)).toEqual([32, 16, 8, 4, 2, 4, 8, 16, 32].map((size) => [size, size]));
  });

  it('leave out what the student lacks or has at another size', () => {
    const teacher = unet(PLAIN, [1, 1, 32, 32]).graph;
    expect(matchedPoints(teacher, unet(PLAIN, [1, 1, 48, 48]).graph)).toEqual([]);
    const net = new Net('other', 1);
    const small = net.build(net.conv(net.block(net.block(net.input([1, 1, 32, 32]), 3), 3), 1));
    expect(matchedPoints(teacher, small)).toEqual([
      { value: 'relu2', studentValue: 'relu2', teacherChannels: 4, studentChannels: 3, size: [32, 32] },
    ]);
  });
});

describe('matchedPoints of a student with other names', () => {
  const bind = (graph: Graph, size: number) => bindShapes(graph, new Map([[graph.inputs[0], [1, 1, size, size]]]));
  const foreign = async (original: Graph, preset: 'paper-flat32' | 'paper-flat32-separable') =>
    (await runPass(student, original, { preset })).graph;

  it('pair one block for each size on the way down and up: a U-Net of four levels with a flat one of six', async () => {
    const teacher = bind(unet(PLAIN).graph, 128);
    const replaced = bind(await foreign(teacher, 'paper-flat32'), 128);
    const matched = matchedPoints(teacher, replaced);
    expect(matched.map(({ value }) => value)).toEqual(featurePoints(teacher));
    expect(matched.map(({ size }) => size[0])).toEqual([128, 64, 32, 16, 8, 16, 32, 64, 128]);
    // The teacher's bottom stands beside the encoder; what lies below it in the student has no counterpart.
    expect(matched.map(({ studentValue }) => studentValue)).toEqual(
      ['encoder1', 'encoder2', 'encoder3', 'encoder4', 'encoder5', 'decoder4', 'decoder3', 'decoder2', 'decoder1'].map(
        (block) => `${block}/conv2/relu`,
      ),
    );
    expect(matched.every(({ studentChannels }) => studentChannels === 32)).toBe(true);
  });

  it('pair all thirteen blocks of two flat ones, also in training form', async () => {
    const teacher = await foreign(unet(PLAIN).graph, 'paper-flat32');
    const { graph } = restoreNormalization(await foreign(teacher, 'paper-flat32-separable'), semantics);
    const matched = matchedPoints(bind(teacher, 64), bind(graph, 64));
    expect(matched).toHaveLength(13);
    expect(matched.map(({ value }) => value)).toEqual(featurePoints(teacher));
    for (const { value, studentValue } of matched) expect(studentValue).toBe(`${value}_1`);
  });

  it('let the last of several at a place stand for it, in either network', () => {
    const { net, nodes } = nestedUnet();
    const nested = net.build(net.conv(nodes[0][4], 1, { kernel: 1 }));
    const renamed = new Net('renamed', 5);
    let x = renamed.input([1, 1, 32, 32]);
    const block = (from: string, out: number) => {
      const name = renamed.name('block');
      return renamed.op(
        'Relu',
        [renamed.op('Conv', [from, renamed.normals(name, [out, renamed.channels(from), 1, 1])], {}, `c${name}`)],
        {},
        `r${name}`,
      );
    };
    const skips: string[] = [];
    for (const width of WIDTHS) {
      if (skips.length) x = renamed.maxPool(x);
      x = block(x, width);
      skips.push(x);
    }
    for (let level = 3; level >= 0; level--) x = block(renamed.concat(skips[level], renamed.scaleUp(x)), WIDTHS[level]);
    const plain = renamed.build(renamed.op('Conv', [x, renamed.normals('head', [1, WIDTHS[0], 1, 1])], {}, 'head.out'));
    const expected = [...nodes.map(([encoder]) => encoder), ...[3, 2, 1, 0].map((level) => nodes[level].at(-1) ?? '')];
    expect(
      matchedPoints(nested, plain)
        .map(({ value }) => value)
        .sort(),
    ).toEqual([...expected].sort());
    expect(matchedPoints(plain, nested).map(({ studentValue }) => studentValue)).toEqual(expected);
  });
});

const corpus = process.env.COMPRESS_CORPUS;

describe.skipIf(!corpus)('a U-Net of others', () => {
  const folder = mkdtempSync(join(tmpdir(), 'feature-points-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('matches at nine points with its thinned and factorized student', async () => {
    const file = join(folder, 'hc18-unet.onnx');
    const packed = createReadStream(join(corpus ?? '', 'models/hc18-unet.onnx.gz'));
    await pipeline(packed, createGunzip(), createWriteStream(file));
    const original = load(file);
    const thinned = await thinnedAndFactorized(original, 0.125);
    const bound = new Map([[original.inputs[0], [1, 1, 256, 256]]]);
    const matched = matchedPoints(bindShapes(original, bound), bindShapes(thinned, bound));
    const widths = [64, 128, 256, 512, 1024, 512, 256, 128, 64];
    expect(matched.map(({ teacherChannels }) => teacherChannels)).toEqual(widths);
    expect(matched.map(({ studentChannels }) => studentChannels)).toEqual(widths.map((width) => width / 8));
    expect(matched.map(({ size }) => size[0])).toEqual([256, 128, 64, 32, 16, 32, 64, 128, 256]);
    expect(featurePoints(thinned)).toEqual(matched.map(({ value }) => value));
    // Two convolutions a block and none behind the transposed ones, which no activation reads.
    expect(restoreNormalization(thinned, semantics).sites).toHaveLength(18);
  }, 120_000);
});
