import { describe, expect, it } from 'vitest';
import { CompressError } from '../../src/errors.js';
import { memoryBytes } from '../../src/formats/bytes.js';
import { ExternalData } from '../../src/formats/onnx/external-data.js';
import { readOnnx } from '../../src/formats/onnx/read.js';
import type { OnnxModel } from '../../src/formats/onnx/structures.js';
import { materialize } from '../../src/formats/onnx/tensor-data.js';
import { encodeModel, sampleModel } from '../support/onnx-proto-models.js';

const SECONDS = 5;
const original = encodeModel(sampleModel());

/** Reads a model with its weights; only our own errors may come out. */
function read(bytes: Uint8Array): OnnxModel | undefined {
  const source = memoryBytes(bytes);
  try {
    const model = readOnnx(source, 'm.onnx');
    for (const tensor of model.graph.initializers) materialize(tensor, source, new ExternalData('m.onnx', null));
    return model;
  } catch (error) {
    expect(error).toBeInstanceOf(CompressError);
    return undefined;
  }
}

/** Small, seeded and even enough to pick places (Numerical Recipes' linear congruential generator). */
function picker(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

describe('a damaged ONNX file', () => {
  it('is refused or read right when it ends at any byte', () => {
    const whole = read(original);
    const graphs = new Set<string>();
    let complete = 0;
    for (let length = 0; length < original.length; length++) {
      const model = read(original.subarray(0, length));
      if (model === undefined) continue;
      complete++;
      graphs.add(JSON.stringify(model.graph));
    }
    // What a cut leaves whole is a model without its last top-level fields; the graph is never half a graph.
    expect([...graphs]).toEqual([JSON.stringify(whole!.graph)]);
    expect(complete).toBeLessThan(10);
  });

  it('never crashes, hangs or takes memory when bits flip', () => {
    const pick = picker(1);
    const end = performance.now() + SECONDS * 1000;
    let survivors = 0;
    let slowest = 0;
    for (let round = 0; round < 50_000 && performance.now() < end; round++) {
      const damaged = original.slice();
      for (let flip = 0; flip <= pick(4); flip++) damaged[pick(damaged.length)]! ^= 1 << pick(8);
      const start = performance.now();
      if (read(damaged) !== undefined) survivors++;
      slowest = Math.max(slowest, performance.now() - start);
    }
    expect(survivors).toBeGreaterThan(0);
    expect(slowest).toBeLessThan(1000);
    expect(process.memoryUsage().arrayBuffers).toBeLessThan(2 ** 29);
  });

  it('never crashes on bytes that were cut out, doubled or overwritten', () => {
    const pick = picker(2);
    const end = performance.now() + SECONDS * 1000;
    for (let round = 0; round < 20_000 && performance.now() < end; round++) {
      const at = pick(original.length);
      const length = pick(Math.min(64, original.length - at));
      const piece = original.subarray(at, at + length);
      const head = original.subarray(0, at);
      const tail = original.subarray(at + length);
      const filler = new Uint8Array(length).fill([0x00, 0xff, 0x80, 0x0a][pick(4)]!);
      const middle = [[], [piece, piece], [filler]][pick(3)]!;
      read(new Uint8Array(Buffer.concat([head, ...middle, tail])));
    }
  });
});
