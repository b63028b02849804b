import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Decision, guessOutputKind, outputSpatial, toClassMap } from '../../../src/validate/decision.js';

const plain = (kind: Decision['kind']): Decision => ({ kind, threshold: null, channel: null });
const classes = (data: number[], shape: number[], decision: Decision, spatial = [2, 2]) => [
  ...toClassMap({ data: Float32Array.from(data), shape }, decision, spatial).data,
];

describe('one channel', () => {
  it('is foreground above 0 for logits and above 0.5 for probabilities', () => {
    expect(classes([-1, 0, 0.1, 9], [1, 1, 2, 2], plain('logit'))).toEqual([0, 0, 1, 1]);
    expect(classes([0.2, 0.5, 0.6, 1], [1, 2, 2, 1], plain('prob'))).toEqual([0, 0, 1, 1]);
  });

  it('goes by the threshold that is given', () => {
    expect(classes([0.2, 0.5, 0.6, 1], [1, 1, 2, 2], { ...plain('prob'), threshold: 0.55 })).toEqual([0, 0, 1, 1]);
  });

  it('is never foreground where it is NaN', () => {
    expect(classes([Number.NaN, 1, 1, 1], [1, 1, 2, 2], plain('logit'))).toEqual([0, 1, 1, 1]);
  });
});

describe('several channels', () => {
  it('give the largest, the first of equals', () => {
    expect(classes([5, 0, 1, 0, 0, 5, 1, 0, 0, 0, 1, 3], [1, 3, 2, 2], plain('logit'))).toEqual([0, 1, 0, 2]);
  });

  it('are read alike in every layout', () => {
    const score = fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 18, maxLength: 18 });
    fc.assert(
      fc.property(score, (first) => {
        const last = Array.from({ length: 18 }, (_, i) => first[(i % 3) * 6 + Math.floor(i / 3)]!);
        const expected = classes(first, [1, 3, 2, 3], plain('logit'), [2, 3]);
        expect(classes(last, [1, 2, 3, 3], plain('logit'), [2, 3])).toEqual(expected);
        expect(classes(last, [1, 6, 3], plain('logit'), [2, 3])).toEqual(expected);
        expect(classes(first, [3, 2, 3], plain('logit'), [2, 3])).toEqual(expected);
      }),
    );
  });

  it('can be read by one of them', () => {
    const decision = { ...plain('prob'), channel: 1 };
    expect(classes([1, 1, 1, 1, 0.9, 0.1, 0.5, 0.6], [1, 2, 2, 2], decision)).toEqual([1, 0, 0, 1]);
    expect(() => classes([1, 1, 1, 1], [1, 1, 2, 2], decision)).toThrow(/channel is 1, but the output has 1/);
  });
});

describe('class numbers', () => {
  it('are taken as they are, from 64-bit integers too', () => {
    const output = { data: BigInt64Array.of(0n, 3n, 1n, 254n), shape: [1, 2, 2] };
    expect([...toClassMap(output, plain('index'), [2, 2]).data]).toEqual([0, 3, 1, 254]);
  });

  it('must be class numbers', () => {
    expect(() => classes([0, 300, 0, 0], [1, 1, 2, 2], plain('index'))).toThrow(
      /holds 300 where a class number is due/,
    );
    expect(() => classes(new Array<number>(8).fill(0), [1, 2, 2, 2], plain('index'))).toThrow(/has one channel, not 2/);
  });
});

describe('shapes', () => {
  it('work in three dimensions and flattened', () => {
    expect(classes([-1, 1, 1, -1, 1, 1, 1, 1], [1, 1, 2, 2, 2], plain('logit'), [2, 2, 2])).toHaveLength(8);
    expect(classes([-1, 1, 1, -1], [1, 4], plain('logit'))).toEqual([0, 1, 1, 0]);
  });

  it('must be those of the map', () => {
    expect(() => classes([1, 2, 3], [1, 3], plain('logit'))).toThrow(/shape 1 x 3 is no map of 2 x 2 pixels/);
  });

  it('tell the size of the map', () => {
    expect(outputSpatial([1, 1, 8, 8], [8, 8])).toEqual([8, 8]);
    expect(outputSpatial([1, 64], [8, 8])).toEqual([8, 8]);
    expect(outputSpatial([1, 21, 16, 16], [32, 32])).toEqual([16, 16]);
    expect(outputSpatial([1, 16, 16, 1], [32, 32])).toEqual([16, 16]);
    expect(outputSpatial([1, 16, 16], [32, 32])).toEqual([16, 16]);
  });
});

it('guesses the kind from the last operator and says so', () => {
  expect(guessOutputKind('Sigmoid', 1)).toEqual({
    kind: 'prob',
    sentence: 'output: probabilities, because the last operator is Sigmoid; foreground where above 0.5',
  });
  expect(guessOutputKind('Softmax', 3).sentence).toContain('the largest channel is the class');
  expect(guessOutputKind('Conv', 1).kind).toBe('logit');
  expect(guessOutputKind('ArgMax', 1).kind).toBe('index');
  expect(guessOutputKind('Relu', 1).kind).toBe('values');
  expect(guessOutputKind(undefined, 1).sentence).toBe(
    'output: logits, because nothing says what it is; foreground where above 0',
  );
});
