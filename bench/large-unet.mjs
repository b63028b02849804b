import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { save, Tensor } from '../dist/index.js';
import { GraphBuilder } from '../dist/ir/builder.js';
import { createRandom } from '../dist/math/random.js';
import { semantics } from '../dist/ops/index.js';

/** Writes a classical U-Net of 5 levels with random weights; width 128 has 124 M parameters (497 MB). */
export async function writeLargeUnet(path, width = 128, levels = 5) {
  if (existsSync(path)) return;
  mkdirSync(dirname(path), { recursive: true });
  const builder = new GraphBuilder(semantics, { name: 'large' });
  const random = createRandom(1);
  const weights = (name, ...shape) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const values = new Float32Array(count);
    for (let i = 0; i < count; i++) values[i] = (random.next() - 0.5) / Math.sqrt(count / shape[0]);
    return builder.constant(name, Tensor.from(shape, values));
  };
  const block = (x, from, to, name) => {
    let value = x;
    for (const [i, channels] of [from, to].entries()) {
      const convolved = builder.apply(
        'Conv',
        [value, weights(`${name}.${i}.weight`, to, channels, 3, 3)],
        { pads: [1, 1, 1, 1] },
        `${name}.${i}`,
      );
      const ones = Float32Array.from({ length: to }, () => 0.5 + random.next());
      const parameters = ['scale', 'bias', 'mean', 'var'].map((part) =>
        builder.constant(`${name}.${i}.${part}`, Tensor.from([to], ones)),
      );
      value = builder.apply('Relu', [builder.apply('BatchNormalization', [convolved, ...parameters])]);
    }
    return value;
  };
  let value = builder.input('image', { dtype: 'f32', shape: ['batch', 1, 256, 256] });
  const skips = [];
  for (let level = 0; level < levels; level++) {
    const channels = width << level;
    value = block(value, level === 0 ? 1 : channels >> 1, channels, `down${level}`);
    if (level < levels - 1) {
      skips.push(value);
      value = builder.apply('MaxPool', [value], { kernel_shape: [2, 2], strides: [2, 2] });
    }
  }
  for (let level = levels - 2; level >= 0; level--) {
    const channels = width << level;
    const up = builder.apply('ConvTranspose', [value, weights(`up${level}.weight`, 2 * channels, channels, 2, 2)], {
      strides: [2, 2],
    });
    value = block(builder.apply('Concat', [skips[level], up], { axis: 1 }), 2 * channels, channels, `merge${level}`);
  }
  const logits = builder.apply('Conv', [value, weights('head.weight', 1, width, 1, 1)], {}, 'logits');
  await save(builder.build([logits]), path);
}
