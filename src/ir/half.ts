/** IEEE 754 half precision and bfloat16, which Node 20 has no typed array for. */

const word = new Float32Array(1);
const bits = new Uint32Array(word.buffer);

const HALF_TO_FLOAT = new Float32Array(65536);
for (let code = 0; code < 65536; code++) {
  const sign = code & 0x8000 ? -1 : 1;
  const exponent = (code >> 10) & 31;
  const fraction = code & 1023;
  if (exponent === 0) HALF_TO_FLOAT[code] = sign * fraction * 2 ** -24;
  else if (exponent === 31) HALF_TO_FLOAT[code] = fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  else HALF_TO_FLOAT[code] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

export function halfToFloat(code: number): number {
  return HALF_TO_FLOAT[code];
}

/** Round to nearest, ties to even; above 65504 (by more than half a step) becomes infinity, as IEEE 754 says. */
export function floatToHalf(value: number): number {
  word[0] = value;
  const pattern = bits[0];
  const sign = (pattern >>> 16) & 0x8000;
  const magnitude = pattern & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x33000001) return sign;
  if (magnitude < 0x38800000) {
    // Subnormal half: the value as a multiple of 2^-24; adding 2^23 * 2^-24 lets the float adder round to even.
    word[0] = Math.abs(value) + 0.5;
    return sign | (bits[0] - 0x3f000000);
  }
  const rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return sign | ((rounded - 0x38000000) >> 13);
}

export function bfloatToFloat(code: number): number {
  bits[0] = code << 16;
  return word[0];
}

/** Round to nearest, ties to even. */
export function floatToBfloat(value: number): number {
  word[0] = value;
  const pattern = bits[0];
  if ((pattern & 0x7fffffff) > 0x7f800000) return (pattern >>> 16) | 0x40;
  return (pattern + 0x7fff + ((pattern >>> 16) & 1)) >>> 16;
}
