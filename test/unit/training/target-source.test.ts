import { describe, expect, it } from 'vitest';
import { diskFull } from '../../../src/errors.js';
import type { Graph } from '../../../src/ir/graph.js';
import { Tensor } from '../../../src/ir/tensor.js';
import type { MapPlan } from '../../../src/training/batches.js';
import type { LoadedGraph } from '../../../src/training/engine.js';
import type { TrainingImage } from '../../../src/training/material.js';
import { type TargetPlan, TargetSource } from '../../../src/training/target-source.js';
import { inProcessEngine } from '../../support/in-process-engine.js';
import { Net } from '../../support/patterns-net.js';
import { boxImage, type MaterialOptions, MemoryRecords, memoryMaterial } from '../../support/training-material.js';

const SHAPE = [1, 4, 4];
const COUNT = 5;

function teacher(channels: number, end: 'Sigmoid' | 'Softmax'): Graph {
  const net = new Net('teacher', 2);
  const scores = net.conv(net.input(['n', ...SHAPE]), channels);
  return net.build(net.op(end, [scores], end === 'Softmax' ? { axis: 1 } : {}, 'y'));
}

const target = (channels: number, mask: TargetPlan['mask'] = { channel: null, areClasses: channels > 1 }) => ({
  section: 'target/0',
  output: 'y',
  channels,
  size: [4, 4],
  mask,
});

const mapOf = ({ section, channels, size }: TargetPlan): MapPlan => ({ name: section, channels, size, isImage: false });
const image: MapPlan = { name: 'input', channels: 1, size: [4, 4], isImage: true };

interface Opened {
  readonly source: TargetSource;
  /** Images that the teacher was run on, in order. */
  readonly runs: readonly number[];
  readonly warnings: readonly string[];
}

function open(graph: Graph, plan: TargetPlan, options: Partial<MaterialOptions> = {}): Opened {
  const material = memoryMaterial({ shape: SHAPE, count: COUNT, output: 'y', ...options });
  const [runs, warnings]: [number[], string[]] = [[], []];
  const make = options.image ?? ((index: number) => boxImage(SHAPE, options.classes ?? 2, index));
  const loadTeacher = async (): Promise<LoadedGraph> => {
    const loaded = await inProcessEngine.load(graph);
    return {
      run(inputs) {
        const data = String(inputs.get('x')?.toFloat32());
        runs.push(Array.from({ length: COUNT }, (_, i) => String(make(i).input)).indexOf(data));
        return loaded.run(inputs);
      },
      close: () => loaded.close(),
    };
  };
  const warn = (message: string) => warnings.push(message);
  return {
    source: new TargetSource({ material, input: 'x', targets: [plan], key: '', loadTeacher, warn }),
    runs,
    warnings,
  };
}

async function answer(graph: Graph, { input }: TrainingImage): Promise<Float32Array> {
  const loaded = await inProcessEngine.load(graph);
  return (await loaded.run(new Map([['x', Tensor.floats(input, [1, ...SHAPE])]]))).get('y')!.toFloat32();
}

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) expect(actual[i]).toBeCloseTo(expected[i], 3);
}

const prepare = ({ source }: Opened) => source.prepare(() => {});
const all = [0, 1, 2, 3, 4];

describe('the original', () => {
  const graph = teacher(1, 'Sigmoid');
  const plan = target(1, null);

  it('answers every image once, however often it is read', async () => {
    const opened = open(graph, plan);
    expect(await prepare(opened)).toBe(COUNT);
    expect(opened.runs).toEqual(all);
    for (const index of [3, 1, 3]) {
      expectClose(await opened.source.read(index, mapOf(plan)), await answer(graph, boxImage(SHAPE, 2, index)));
      expect(await opened.source.read(index, image)).toEqual(boxImage(SHAPE, 2, index).input);
    }
    expect([opened.runs, opened.warnings]).toEqual([all, []]);
  });

  it('is not asked again what an earlier run has kept', async () => {
    let kept: MemoryRecords | undefined;
    const records: MaterialOptions['records'] = (sections) => {
      kept ??= new MemoryRecords(sections, COUNT);
      return kept;
    };
    await prepare(open(graph, plan, { records }));
    const again = open(graph, plan, { records });
    expect(await prepare(again)).toBe(0);
    await again.source.read(2, mapOf(plan));
    expect(again.runs).toEqual([]);
  });

  it('answers again, once, where a record is damaged', async () => {
    let kept: MemoryRecords | undefined;
    const opened = open(graph, plan, {
      records(sections) {
        kept = new MemoryRecords(sections, COUNT);
        return kept;
      },
    });
    await prepare(opened);
    kept?.damage(2);
    const expected = await answer(graph, boxImage(SHAPE, 2, 2));
    expectClose(await opened.source.read(2, mapOf(plan)), expected);
    expectClose(await opened.source.read(2, mapOf(plan)), expected);
    expect(opened.runs).toEqual([...all, 2]);
  });

  it('answers whenever it is asked where there is no room, which is warned of', async () => {
    const opened = open(graph, plan, { capacity: 0 });
    expect(await prepare(opened)).toBe(0);
    expect(opened.warnings).toEqual([expect.stringMatching(/no room for 5 of 5 images.*give a larger --cache-size/)]);
    for (const index of [1, 1, 0, 1]) {
      expectClose(await opened.source.read(index, mapOf(plan)), await answer(graph, boxImage(SHAPE, 2, index)));
      await opened.source.read(index, image);
    }
    // One after the other, an image's maps are read from one answer.
    expect(opened.runs).toEqual([1, 0, 1]);
  });

  it.each([0, 2])(
    'answers whenever it is asked once the disk is full (after %i records), with one warning',
    async (room) => {
      const opened = open(graph, plan, { room });
      await prepare(opened);
      for (const index of all)
        expectClose(await opened.source.read(index, mapOf(plan)), await answer(graph, boxImage(SHAPE, 2, index)));
      expect(opened.warnings).toEqual([
        expect.stringMatching(/not cached any more \(.*disk is full.*so a step takes longer/),
      ]);
      expect(opened.runs.filter((index) => index < room)).toEqual(all.slice(0, room));
      expect(opened.runs.at(-1)).toBe(4);
    },
  );

  it('goes on without a cache where the disk has no room even for an empty one', async () => {
    const opened = open(graph, plan, {
      records() {
        throw diskFull('targets.records');
      },
    });
    await prepare(opened);
    expect(opened.warnings).toEqual([expect.stringMatching(/not cached any more \(.*disk is full/)]);
    expectClose(await opened.source.read(4, mapOf(plan)), await answer(graph, boxImage(SHAPE, 2, 4)));
  });
});

describe('masks', () => {
  it('are half of the target of one channel', async () => {
    const [graph, plan] = [teacher(1, 'Sigmoid'), target(1)];
    const opened = open(graph, plan);
    const sample = boxImage(SHAPE, 2, 1);
    const said = await answer(graph, sample);
    expectClose(
      await opened.source.read(1, mapOf(plan)),
      said.map((value, i) => 0.5 * value + 0.5 * Number(sample.mask![i])),
    );
  });

  it('are half of the target of each class', async () => {
    const [graph, plan] = [teacher(3, 'Softmax'), target(3)];
    const opened = open(graph, plan, { classes: 3 });
    const sample = boxImage(SHAPE, 3, 1);
    const said = await answer(graph, sample);
    expectClose(
      await opened.source.read(1, mapOf(plan)),
      said.map((value, i) => 0.5 * value + 0.5 * Number(sample.mask![i % 16] === Math.floor(i / 16))),
    );
  });

  it('of a class that the network does not know leave the original alone', async () => {
    const [graph, plan] = [teacher(2, 'Softmax'), target(2)];
    const opened = open(graph, plan, {
      image: (index) => ({ ...boxImage(SHAPE, 2, index), mask: new Uint8Array(16).fill(7) }),
    });
    expectClose(await opened.source.read(1, mapOf(plan)), await answer(graph, boxImage(SHAPE, 2, 1)));
  });

  it('of a foreground that is one of several classes leave a distribution', async () => {
    const [graph, plan] = [teacher(3, 'Softmax'), target(3, { channel: 1, areClasses: true })];
    const opened = open(graph, plan, { classes: 2 });
    const sample = boxImage(SHAPE, 2, 1);
    const said = await answer(graph, sample);
    const mixed = await opened.source.read(1, mapOf(plan));
    for (let i = 0; i < 16; i++) {
      expect(mixed[16 + i]).toBeCloseTo(0.5 * said[16 + i] + 0.5 * Number(sample.mask![i] > 0), 3);
      expect(mixed[i] + mixed[16 + i] + mixed[32 + i]).toBeCloseTo(1, 3);
      expect(mixed[i] / mixed[32 + i]).toBeCloseTo(said[i] / said[32 + i], 1);
    }
  });

  it('do not touch targets that they do not belong to', async () => {
    const [graph, plan] = [teacher(1, 'Sigmoid'), target(1, null)];
    expectClose(await open(graph, plan).source.read(1, mapOf(plan)), await answer(graph, boxImage(SHAPE, 2, 1)));
  });

  it('that are all empty are warned of, when they are read and when they are kept already', async () => {
    let kept: MemoryRecords | undefined;
    const options: Partial<MaterialOptions> = {
      image: (index) => ({ ...boxImage(SHAPE, 2, index), mask: new Uint8Array(16) }),
      records(sections) {
        kept ??= new MemoryRecords(sections, COUNT);
        return kept;
      },
    };
    for (const more of [options, options, { ...options, records: undefined, capacity: 0 }]) {
      const opened = open(teacher(1, 'Sigmoid'), target(1), more);
      await prepare(opened);
      expect(opened.warnings.at(-1)).toMatch(/masks of all training images are empty/);
    }
  });
});
