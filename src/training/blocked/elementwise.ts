/**
 * Operators that work element by element and give finite numbers for finite ones, so that padded channels do no harm;
 * of the first the other operands, if any, are single numbers.
 */
export const UNARY: ReadonlySet<string> = new Set([
  'Abs',
  'Clip',
  'Elu',
  'Erf',
  'Gelu',
  'HardSigmoid',
  'HardSwish',
  'Identity',
  'LeakyRelu',
  'Mish',
  'Neg',
  'Relu',
  'Selu',
  'Sigmoid',
  'Sign',
  'Softplus',
  'Softsign',
  'Tanh',
  'ThresholdedRelu',
]);

export const BINARY: ReadonlySet<string> = new Set(['Add', 'Sub', 'Mul', 'Div', 'Max', 'Min']);
