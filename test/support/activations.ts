import type { Activation } from '../../src/exporters/lowering/operations.js';

/** The activations of programs, the slope of leakyRelu being 0.1. */
export const ACTIVATIONS: Record<Activation['function'], (x: number) => number> = {
  relu: (x) => Math.max(0, x),
  relu6: (x) => Math.min(6, Math.max(0, x)),
  leakyRelu: (x) => (x < 0 ? 0.1 * x : x),
  elu: (x) => (x < 0 ? Math.expm1(x) : x),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
};

export const ACTIVATION_NAMES = Object.keys(ACTIVATIONS) as Activation['function'][];
