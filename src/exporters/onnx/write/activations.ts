import type { Lowering } from './lowering.js';

/** HardSwish before 14: x · hardsigmoid(x) with slope 1/6. */
export function hardSwish(lowering: Lowering): Lowering {
  const x = lowering.input(0);
  const gate = lowering.apply(
    'HardSigmoid',
    [x],
    [
      { name: 'alpha', f: 1 / 6 },
      { name: 'beta', f: 0.5 },
    ],
    'gate',
  );
  return lowering.finish('Mul', [x, gate], []);
}

/** Mish before 18: x · tanh(softplus(x)). */
export function mish(lowering: Lowering): Lowering {
  const x = lowering.input(0);
  const soft = lowering.apply('Softplus', [x], [], 'softplus');
  const gate = lowering.apply('Tanh', [soft], [], 'gate');
  return lowering.finish('Mul', [x, gate], []);
}

/** Gelu before 20: x/2 · (1 + erf(x/√2)), or x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³))) where approximated. */
export function gelu(lowering: Lowering): Lowering {
  const x = lowering.input(0);
  const curve = lowering.text('approximate') === 'tanh' ? tanhCurve(lowering, x) : errorCurve(lowering, x);
  const shifted = lowering.apply('Add', [curve, lowering.scalar('one', 1)], [], 'shifted');
  const half = lowering.apply('Mul', [x, lowering.scalar('half', 0.5)], [], 'halved');
  return lowering.finish('Mul', [half, shifted], []);
}

function errorCurve(lowering: Lowering, x: string): string {
  const scaled = lowering.apply('Mul', [x, lowering.scalar('root', Math.SQRT1_2)], [], 'scaled');
  return lowering.apply('Erf', [scaled], [], 'erf');
}

function tanhCurve(lowering: Lowering, x: string): string {
  const square = lowering.apply('Mul', [x, x], [], 'square');
  const cube = lowering.apply('Mul', [square, x], [], 'cube');
  const small = lowering.apply('Mul', [cube, lowering.scalar('weight', 0.044715)], [], 'small');
  const sum = lowering.apply('Add', [x, small], [], 'sum');
  const scaled = lowering.apply('Mul', [sum, lowering.scalar('root', Math.sqrt(2 / Math.PI))], [], 'scaled');
  return lowering.apply('Tanh', [scaled], [], 'tanh');
}

const GRID_MODES: Readonly<Record<string, string>> = { linear: 'bilinear', cubic: 'bicubic', nearest: 'nearest' };

/** GridSample before 20 has other names for two of its modes, and is for images only. */
export function gridSampleOfImages(lowering: Lowering): Lowering {
  if (lowering.opset < 16) lowering.fail('this operator exists since operator set 16');
  if (lowering.rank() !== 4) lowering.fail('it samples volumes since operator set 20');
  const mode = { name: 'mode', s: GRID_MODES[lowering.text('mode')] };
  return lowering.finish('GridSample', lowering.node.inputs, [mode, ...lowering.given(['mode'])]);
}
