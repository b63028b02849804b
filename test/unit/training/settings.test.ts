import { expect, it } from 'vitest';
import { type DistillationSettings, resolveSettings } from '../../../src/training/settings.js';

const given: DistillationSettings = { augment: true, featureLoss: 'adapted', start: 'fitted' };

it('augments the more images, the more often each is seen', () => {
  const share = (steps: number, images: number, more: Partial<DistillationSettings> = {}) =>
    resolveSettings({ ...given, steps, ...more }, { parameters: 1e5, images }).augmented;
  // 8 images a step: 10, 20, 40 and 80 passes.
  expect([500, 1000, 2000, 4000].map((steps) => share(steps, 400))).toEqual([0, 0.2, 1, 1]);
  expect(share(500, 400, { batch: 16 })).toBe(0.2);
  expect(share(4000, 400, { augment: false })).toBe(0);
});

it('lowers the rate for larger students', () => {
  const rate = (parameters: number) => resolveSettings(given, { parameters, images: 400 }).rate;
  expect([rate(1e4), rate(1e5), rate(16e5)]).toEqual([2e-3, 2e-3, 1e-3]);
});
