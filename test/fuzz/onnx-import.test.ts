import { describe, expect, it } from 'vitest';
import { CompressError } from '../../src/errors.js';
import { encodeOnnxGraph } from '../../src/exporters/onnx/index.js';
import { memoryBytes } from '../../src/formats/bytes.js';
import { importOnnxBytes } from '../../src/importers/onnx/index.js';
import { createRandom } from '../../src/math/random.js';
import { floatTensor, int64Tensor, modelBytes, nodeProto, randomTensor, valueInfo } from '../support/onnx-models.js';

/** A small file with something of everything: weights, constants, a function, a subgraph, shape arithmetic. */
const file = modelBytes({
  opset: 11,
  inputs: { x: ['n', 3, 'h', 'w'] },
  outputs: 'y',
  nodes: [
    ['Conv', 'x w b', 'c', { pads: [1, 1, 1, 1] }],
    ['Half', 'c', 'd', { slope: { f: 0.1 } }, 'own'],
    ['Shape', 'c', 's'],
    ['Constant', '', 'axes', { value: { t: int64Tensor([2]) } }],
    ['Slice', 's axes four', 'hw'],
    ['Concat', 'nc hw', 'sizes', { axis: 0 }],
    ['Resize', 'd e e sizes', 'u', { mode: 'nearest' }],
    ['Concat', 'u c', 'k', { axis: 1 }],
    [
      'If',
      'flag',
      'i',
      { then_branch: { g: { name: 't', node: [nodeProto(['Relu', 'k', 't'])], output: [{ name: 't' }] } } },
    ],
    ['Softmax', 'i', 'y', { axis: 1 }],
  ],
  constants: {
    w: randomTensor([4, 3, 3, 3]),
    b: floatTensor([1, 2, 3, 4]),
    e: floatTensor([]),
    four: int64Tensor([4]),
    nc: int64Tensor([1, 4]),
    flag: { dims: [], dataType: 9, rawData: Uint8Array.of(1) },
  },
  more: {
    opsetImport: [{ version: 11 }, { domain: 'own', version: 1 }],
    functions: [
      {
        name: 'Half',
        domain: 'own',
        input: ['in'],
        output: ['out'],
        attribute: ['slope'],
        opsetImport: [{ version: 11 }],
        node: [nodeProto(['LeakyRelu', 'in', 'out', { alpha: { reference: 'slope', type: 1 } }])],
      },
    ],
  },
  moreGraph: { valueInfo: [valueInfo('c', ['n', 4, 'h', 'w'])], output: [valueInfo('y', ['n', 8, 'h', 'w'])] },
});

/** The file is read and written again, or refused with an error that is made for the user. */
function survives(bytes: Uint8Array): 'read' | 'refused' {
  try {
    encodeOnnxGraph(importOnnxBytes(memoryBytes(bytes), 'damaged.onnx', null));
    return 'read';
  } catch (error) {
    if (!(error instanceof CompressError)) throw error;
    expect(error.message.length).toBeLessThan(1000);
    return 'refused';
  }
}

function expectBounded(action: () => void, { seconds, megabytes }: { seconds: number; megabytes: number }): void {
  const [time, memory] = [process.cpuUsage(), process.memoryUsage().rss];
  action();
  const { user, system } = process.cpuUsage(time);
  expect((user + system) / 1e6).toBeLessThan(seconds);
  expect((process.memoryUsage().rss - memory) / 2 ** 20).toBeLessThan(megabytes);
}

describe('damaged ONNX files', () => {
  it('the file itself is sound', () => {
    expect(survives(file)).toBe('read');
  });

  it('cut anywhere', () => {
    let read = 0;
    expectBounded(
      () => {
        for (let length = 0; length < file.length; length++)
          read += Number(survives(file.subarray(0, length)) === 'read');
      },
      { seconds: 60, megabytes: 300 },
    );
    // Whole fields at the end are missed by nobody: the function, and what came before it.
    expect(read).toBeLessThan(4);
  });

  it('with any single bit flipped', () => {
    const counts = { read: 0, refused: 0 };
    expectBounded(
      () => {
        for (let bit = 0; bit < file.length * 8; bit++) {
          const damaged = Uint8Array.from(file);
          damaged[bit >> 3] ^= 1 << (bit & 7);
          counts[survives(damaged)]++;
        }
      },
      { seconds: 120, megabytes: 300 },
    );
    expect(counts.read).toBeGreaterThan(0);
    expect(counts.refused).toBeGreaterThan(0);
  });

  it('with several bytes replaced, moved and repeated', () => {
    const random = createRandom(11);
    expectBounded(
      () => {
        for (let round = 0; round < 4000; round++) survives(damage(file, random));
      },
      { seconds: 120, megabytes: 300 },
    );
  });
});

function damage(bytes: Uint8Array, random: ReturnType<typeof createRandom>): Uint8Array {
  const damaged = [...bytes];
  for (let i = 1 + random.integer(6); i > 0; i--) {
    const at = random.integer(damaged.length);
    const length = random.integer(20);
    const kind = random.integer(4);
    if (kind === 0) damaged[at] = random.integer(256);
    else if (kind === 1) damaged.splice(at, length);
    else if (kind === 2) damaged.splice(at, 0, ...damaged.slice(at, at + length));
    else damaged.splice(at, 1, 0xff, 0xff, 0xff, 0xff, random.integer(128));
  }
  return Uint8Array.from(damaged);
}
