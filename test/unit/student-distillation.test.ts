import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { type Compressed, compress } from '../../src/compress.js';
import { load } from '../../src/importers/index.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import type { Graph } from '../../src/ir/graph.js';
import { copyNode } from '../../src/ir/rewrite.js';
import { Tensor } from '../../src/ir/tensor.js';
import { semantics } from '../../src/ops/index.js';
import { type Options, withDefaults } from '../../src/options.js';
import { openEngine } from '../../src/recipe/engine.js';
import { openTeaching } from '../../src/recipe/teaching.js';
import type { Values } from '../../src/training/engine.js';
import { openLesson } from '../../src/training/lesson.js';
import { LOSSES, NUMBERS } from '../../src/training/step.js';
import { openStudentStep, type StudentStep } from '../../src/training/student-step.js';
import { openData } from '../../src/validate/open-data.js';
import { Net } from '../support/patterns-net.js';

const SAMPLE = fileURLToPath(new URL('../../fixtures/sample/', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'student-distillation-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Three images of three groups, and two to validate with. */
const [data, valData] = [
  [0, 1, 4],
  [10, 12],
].map((numbers, i) => {
  const part = join(folder, `part${i}`);
  mkdirSync(part);
  for (const number of numbers) {
    const name = `${String(number).padStart(3, '0')}.png`;
    copyFileSync(join(SAMPLE, 'train/images', name), join(part, name));
  }
  return part;
});

const BRIEF: Options = {
  distill: true,
  distillSteps: 3,
  batch: 2,
  augment: false,
  threads: 1,
  check: true,
  data,
  valData,
};

function distilled(graph: Graph, options: Options): Promise<Compressed> {
  return compress(graph, { ...BRIEF, out: mkdtempSync(join(folder, 'out-')), ...options });
}

function noteOf({ passes }: Compressed, pass: string) {
  return passes.find(({ name }) => name === pass)?.changes[0];
}

describe('--student', () => {
  it('distils a new network from another kind of original, and one from that by the loss of the paper', async () => {
    const original = load(join(SAMPLE, 'model.onnx'));
    const regular = await distilled(original, { student: 'paper-flat32' });
    expect(regular.passes.map(({ name }) => name).slice(-3)).toEqual(['student', 'distill', 'fold-bn']);
    expect(noteOf(regular, 'distill')).toMatchObject({ stepsDone: 3 });
    // Three levels down: every block of the original has a counterpart.
    expect(noteOf(regular, 'distill')?.features).toHaveLength(7);
    expect(noteOf(regular, 'distill')).toHaveProperty('curve features');
    expect([regular.graph.inputs, regular.graph.outputs]).toEqual([original.inputs, original.outputs]);
    expect(regular.graph.nodes.map(({ op }) => op)).not.toContain('ConvTranspose');

    const separable = await distilled(regular.graph, { student: 'paper-flat32-separable', featureLoss: 'paper' });
    expect(noteOf(separable, 'distill')?.features).toHaveLength(13);
    expect(separable.passes.find(({ name }) => name === 'student')?.parameters.after).toBe(43_242 + 4);
  }, 240_000);

  it('is refused with what shapes the original, without --distill, and where the widths for the paper differ', async () => {
    const original = load(join(SAMPLE, 'model.onnx'));
    const refused = (options: Options) => expect(distilled(original, { student: 'paper-flat32', ...options })).rejects;
    await refused({ distill: false, distillSteps: undefined, batch: undefined }).toThrow('it goes with --distill');
    const others: [string, Options][] = [
      ['--thin', { thin: 0.5 }],
      ['--thin-shape', { thinShape: 'flat' }],
      ['--width', { thinShape: 'flat', width: 8 }],
      ['--round', { round: 4 }],
      ['--keep-layer', { keepLayer: ['*=0.5'] }],
      ['--exclude', { exclude: ['*'] }],
      ['--separable', { separable: 'depthwise' }],
      ['--start', { start: 'fitted' }],
    ];
    for (const [flag, options] of others)
      await refused(options).toThrow(
        `${flag} is for a network with the original's layers and cannot go with --student`,
      );
    await refused({ featureLoss: 'paper' }).toThrow(
      /^pass 'distill': --feature-loss paper compares maps of equal width, and '.*' has 16 channels in the original and 32/,
    );
  }, 240_000);

  it('is refused for images whose sizes the levels do not divide, where the input leaves them open', async () => {
    const net = new Net('open', 1);
    const open = net.build(net.conv(net.relu(net.conv(net.input(['n', 1, 'h', 'w']), 4)), 1));
    const preprocess = { resize: [96, 128] as [number, number] };
    await expect(distilled(open, { student: 'paper-flat32', preprocess })).rejects.toThrow(
      /^pass 'student': --student: the image is 96 x 128, and 6 levels need multiples of 64/,
    );
  }, 60_000);

  it('counts in a dry run without training', async () => {
    const { graph, passes } = await distilled(load(join(SAMPLE, 'model.onnx')), {
      student: 'paper-flat32',
      dryRun: true,
    });
    expect(passes.map(({ name }) => name).at(-1)).toBe('student');
    expect(passes.at(-1)?.parameters.after).toBe(288_513 + 4);
    expect(graph.outputs).toEqual(['logits']);
  });
});

describe('--feature-loss paper', () => {
  function small(seed: number): Graph {
    const net = new Net('small', seed);
    const top = net.relu(net.conv(net.input(['n', 1, 128, 128]), 4, { bias: true }));
    const low = net.relu(net.conv(net.maxPool(top), 6, { bias: true }));
    const last = net.relu(net.conv(net.concat(top, net.scaleUp(low)), 5, { bias: true }));
    return net.build(net.conv(last, 1, { kernel: 1 }));
  }

  function withOutputs(graph: Graph, outputs: readonly string[]): Graph {
    const builder = new GraphBuilder(semantics, graph);
    for (const input of graph.inputs) builder.input(input, graph.type(input));
    for (const [name, tensor] of graph.constants) builder.constant(name, tensor);
    for (const node of graph.nodes) copyNode(graph, node, builder);
    return builder.build(outputs);
  }

  /** A term of the loss of a batch at the start. */
  async function lossOf({ loaded, step, start }: StudentStep, term: string, batch: Values): Promise<number> {
    await loaded.setState(new Map(Object.entries(start).map(([name, vector]) => [name, Tensor.floats(vector)])));
    const outputs = await loaded.run(new Map([...batch, [NUMBERS, Tensor.floats([0, 1, 1, 1, 0])]]));
    return (outputs.get(LOSSES)?.toFloat32() ?? [])[step.terms.indexOf(term)];
  }

  it('is 10 Σ |s − t| / (H·W) / Σ 1 / (H·W) over whole maps, with no parameters of its own', async () => {
    const [teacher, student] = [small(1), small(2)];
    const options = withDefaults({ ...BRIEF, out: mkdtempSync(join(folder, 'out-')) });
    const given = { augment: false, batch: 2, featureLoss: 'paper', start: 'fitted' } as const;
    const engine = await openEngine({ threads: 1 });
    try {
      const material = (await openTeaching(teacher, await openData(options), options, engine))?.material;
      if (!material) throw new Error('nothing to teach with');
      const context = { semantics, warn() {}, progress() {} };
      const lesson = await openLesson(teacher, student, { material, given, context });
      const training = await openStudentStep(student, lesson, { material, given, semantics, seed: 0 });
      expect(training.step.layout.parameters.every(({ name }) => student.constants.has(name))).toBe(true);

      const batch = await training.batch(0, 1);
      const points = ['relu1', 'relu2', 'relu3'];
      expect(lesson.features.map(({ value }) => value)).toEqual(points);
      const maps: Values[] = [];
      for (const graph of [teacher, student]) {
        const loaded = await engine.load(withOutputs(graph, points));
        maps.push(await loaded.run(new Map([['x', batch.get('x') as Tensor]])));
        await loaded.close();
      }
      const meanDifference = (value: string) => {
        const [t, s] = maps.map((outputs) => (outputs.get(value) as Tensor).toFloat32());
        return s.reduce((sum, x, i) => sum + Math.abs(x - t[i]), 0) / s.length;
      };
      // A quarter of the positions weighs four times as much: 1 : 4 : 1.
      const expected = (10 / 6) * (meanDifference('relu1') + 4 * meanDifference('relu2') + meanDifference('relu3'));
      expect((await lossOf(training, 'features', batch)) / expected).toBeCloseTo(1, 3);
    } finally {
      await engine.close();
    }
  }, 120_000);
});
