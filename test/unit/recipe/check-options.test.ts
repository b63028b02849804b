import { describe, expect, it } from 'vitest';
import { checkOptions } from '../../../src/recipe/check-options.js';

const check = (options: Record<string, unknown>) => () => checkOptions(options, 'compress', 'config.json');

describe('options that only the configuration holds', () => {
  it.each([
    [
      'an unknown word',
      { output: { kind: 'foo' } },
      'output.kind must be one of logit, prob, index, values, not "foo"',
    ],
    [
      'an unknown key',
      { output: { treshold: 1 } },
      "output: there is no option 'treshold' here; did you mean 'threshold'?",
    ],
    ['a text for a number', { output: { threshold: '1' } }, 'output.threshold must be a number, not "1"'],
    ['a fraction for a channel', { output: { channel: 1.5 } }, 'output.channel must be a whole number from 0, not 1.5'],
    ['a number for a name', { output: { name: 1 } }, 'output.name must be a text, not 1'],
    ['a list for an object', { output: [] }, 'output must be an object, not []'],
    ['one size', { preprocess: { resize: [256] } }, 'preprocess.resize must be a list of 2 values, not [256]'],
    ['no list', { preprocess: { mean: 0.5 } }, 'preprocess.mean must be a list of values, not 0.5'],
    ['a wrong item', { preprocess: { std: [1, null] } }, 'preprocess.std[1] must be a number, not null'],
    ['no width of a pixel', { spacing: [0, 1] }, 'spacing[0] must be a number above 0, not 0'],
    ['a negative spacing', { spacing: [1, -1] }, 'spacing[1] must be a number above 0, not -1'],
    ['four axes', { spacing: [1, 1, 1, 1] }, 'spacing must be a list of 2 to 3 values, not [1,1,1,1]'],
    ['a class that is no number', { labels: { 255: 'head' } }, 'labels.255 must be a whole number from 0, not "head"'],
  ])('are refused with %s', (_, options, message) => {
    expect(check(options)).toThrow(`config.json: ${message}`);
  });

  it('are taken as they are where they fit', () => {
    const options = {
      preprocess: { resize: [256, 256], channels: 'gray', scale: 0.5, mean: [0.5], std: undefined },
      output: { name: 'y', kind: 'logit', threshold: -1, channel: 0 },
      labels: { 0: 0, 255: 1 },
      spacing: [0.1, 0.1, 2],
    };
    expect(check(options)()).toEqual(options);
  });
});
