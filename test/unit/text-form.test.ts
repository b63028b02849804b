import { describe, expect, it } from 'vitest';
import { parseGraph } from '../../src/ir/parse.js';
import { printGraph } from '../../src/ir/print.js';
import { semantics } from '../../src/ops/index.js';

/** A text that must come back as it is. */
function roundTrip(text: string): void {
  expect(printGraph(parseGraph(text, semantics))).toBe(text);
}

describe('text form', () => {
  it('keeps numbers of every type to their last digit', () => {
    roundTrip(`graph numbers(%x: f32[n,2]) {
  %a = const i64[3] {9223372036854775807, -9223372036854775808, 0}
  %b = const u64[1] {18446744073709551615}
  %c = const f32[2] {0.1, -1e-40}
  %d = const f64[2] {0.1, 3.141592653589793}
  %e = const f16[2] {0.099975586, Infinity}
  %f = const bool[2] {1, 0}
  %g = const f32[3] {NaN, -Infinity, -0}
  %y = Opaque.Any(%x, %a, %b, %c, %d, %e, %f, %g) : f32[n,2]
  return %y
}
`);
  });

  it('keeps names and attributes of every kind', () => {
    roundTrip(`graph "odd name"(%"in:0": f32["2*n",1,h,w]) {
  %"w\\"1" = const f32[1,1,1,1] {2}
  %a = Conv(%"in:0", %"w\\"1") {auto_pad="NOTSET", dilations=[1,1], group=1} : f32["2*n",1,h,w]
  %y = LeakyRelu(%a) {alpha=0.25} : f32["2*n",1,h,w]
  return %y, %a
}
`);
  });

  it('keeps opaque nodes: what they were, what they capture and what is not known of them', () => {
    roundTrip(`graph opaque(%x: f32[n,2]) {
  %a = Relu(%x) : f32[n,2]
  %b, _, %c = Opaque.Loop(%x, _) reads(%a) : ?[?], _, i64[?]
  return %b, %c
}
`);
  });

  it('writes large constants as a digest, which does not read back', () => {
    const text = `graph large(%x: f32[1,16]) {
  %a = const f32[16] zeros()
  %y = Add(%x, %a)
  return %y
}`;
    const printed = printGraph(parseGraph(text, semantics, (_, __, count) => new Float32Array(count)));
    expect(printed).toMatch(/%a = const f32\[16\] sha256:[0-9a-f]{16}\n/);
    expect(() => parseGraph(printed, semantics)).toThrow('the values of a constant are not in the text');
  });

  it.each([
    ['graph g(', 'ends too early'],
    ['graph g(%x: f32[1]) { %y = Relu(%x) return', 'ends too early'],
    ['graph g(%x: f99[1]) { return %x }', "'f99' is no data type"],
    ['graph g(%x: f32[1]) { %c = const i64[1] {1.5} return %c }', "'1.5' stands where a whole number is wanted"],
    ['graph g(%x: f32[1]) { %c = const f32[1] {one} return %c }', "'one' stands where a number is wanted"],
    ['graph g(%x: f32[1]) { %y = Relu(%z) return %y }', "'z' is used before anything makes it"],
    ['graph g(%x: f32[1]) { ; }', "cannot be read at '; }'"],
  ])('says what is wrong with %j', (text, message) => {
    expect(() => parseGraph(text, semantics)).toThrow(message);
  });
});
