import { floatToHalf, halfToFloat } from '../ir/half.js';

/** Half precision for whole arrays, in the form in which a record file takes it; both arrays have one length. */
export const halfArrays = {
  /** Rounds to nearest, ties to even; beyond 65,504 becomes infinite. */
  encode(values: Float32Array, codes: Uint16Array): void {
    for (let index = 0; index < values.length; index++) codes[index] = floatToHalf(values[index]!);
  },
  /** Exact. */
  decode(codes: Uint16Array, values: Float32Array): void {
    for (let index = 0; index < codes.length; index++) values[index] = halfToFloat(codes[index]!);
  },
};
