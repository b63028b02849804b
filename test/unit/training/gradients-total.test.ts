import { expect, it } from 'vitest';
import { operators } from '../../../src/ops/index.js';
import { rules } from '../../../src/training/gradients/index.js';

it('every operator has a gradient, or a reason for having none', () => {
  expect([...operators.keys()].filter((op) => !(op in rules))).toEqual([]);
});

it('no gradient is for an operator that there is not', () => {
  expect(Object.keys(rules).filter((op) => !operators.has(op))).toEqual([]);
});
