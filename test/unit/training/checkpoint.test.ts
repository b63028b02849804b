import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CompressError } from '../../../src/errors.js';
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from '../../../src/training/checkpoint.js';
import { resolveSettings } from '../../../src/training/settings.js';

const settings = resolveSettings(
  { augment: true, featureLoss: 'adapted', start: 'fitted' },
  { parameters: 1000, images: 32 },
);

const checkpoint: Checkpoint = {
  step: 134,
  state: {
    parameters: Float32Array.of(1.5, -2, Number.MIN_VALUE, 3e38),
    momentum: Float32Array.of(0, -0, 1e-30, 4),
    statistics: new Float32Array(0),
  },
  best: { step: 67, score: 0.123456789012345, parameters: Float32Array.of(9, 8), statistics: Float32Array.of(7) },
  curve: [
    { step: 0, score: 0.1, terms: {} },
    { step: 67, score: 0.123456789012345, terms: { entropy: 0.5, 'gradient norm': 1.25 } },
  ],
  rateFactor: 0.5,
};

const bytes = encodeCheckpoint(checkpoint, 'key', settings);

/** The sentence of the error; anything else that is thrown fails the test. */
function refusal(content: Uint8Array, key = 'key'): string {
  try {
    decodeCheckpoint(content, key, 'run.checkpoint');
  } catch (error) {
    if (error instanceof CompressError) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('a checkpoint', () => {
  it('comes back as it was, bit for bit', () => {
    expect(decodeCheckpoint(bytes, 'key', 'run.checkpoint')).toEqual({ checkpoint, settings });
  });

  it('comes back from a buffer that begins anywhere in its memory', () => {
    const shifted = Buffer.alloc(bytes.length + 3);
    shifted.set(bytes, 3);
    expect(decodeCheckpoint(shifted.subarray(3), 'key', 'run.checkpoint').checkpoint).toEqual(checkpoint);
  });

  it('comes back without a best', () => {
    const fresh = { ...checkpoint, best: null };
    const again = decodeCheckpoint(encodeCheckpoint(fresh, 'key', settings), 'key', 'run.checkpoint');
    expect(again.checkpoint).toEqual(fresh);
  });

  it('of another run is refused', () => {
    expect(refusal(bytes, 'other')).toMatch(
      /cannot resume from run.checkpoint: it belongs to another model, other data/,
    );
  });

  it.each([
    ['nothing', new Uint8Array(0)],
    ['a line end', Uint8Array.of(10)],
    ['text', Buffer.from('this is no checkpoint\n')],
    ['JSON of another kind', Buffer.from('{"format":"something else"}\n')],
    ['JSON that is no object', Buffer.from('null\n')],
    ['zeros', new Uint8Array(5000)],
  ])('is not %s', (_, content) => {
    expect(refusal(content)).toMatch(/^cannot resume from run.checkpoint: .*run without --resume$/);
  });

  it('that is cut anywhere is refused', () => {
    for (let length = 0; length < bytes.length; length++)
      expect(refusal(bytes.subarray(0, length))).toMatch(/^cannot resume from run.checkpoint: .*run without --resume$/);
  });

  it('of which any bit has changed is refused', () => {
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
        const damaged = Uint8Array.from(bytes);
        damaged[at] ^= 1 << bit;
        expect(refusal(damaged)).toMatch(/^cannot resume from run.checkpoint: .*run without --resume$/);
      }),
      { numRuns: 500 },
    );
  });
});
