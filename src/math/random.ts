/**
 * Seeded random numbers: xoshiro128** (Blackman & Vigna 2021, "Scrambled linear pseudorandom number generators"), its
 * state filled by splitmix32, so that every seed, 0 included, gives a good state.
 */
export interface Random {
  /** Uniform in [0, 1), with 53 random bits. */
  next(): number;
  /** A whole number in [0, n). */
  integer(n: number): number;
  /** Standard normal. */
  normal(): number;
  /** A copy in random order. */
  shuffle<T>(items: readonly T[]): T[];
}

/** The same seed gives the same sequence on every machine. Any finite number is a seed. */
export function createRandom(seed: number): Random {
  const bits = xoshiro128StarStar(stateFromSeed(seed));
  const next = () => ((bits() >>> 5) * 2 ** 26 + (bits() >>> 6)) / 2 ** 53;
  const integer = (n: number) => Math.floor(next() * n);
  return {
    next,
    integer,
    // Box and Muller 1958; 1 - next() is never 0.
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    shuffle: (items) => {
      const result = [...items];
      for (let i = result.length - 1; i > 0; i--) {
        const j = integer(i + 1);
        [result[i], result[j]] = [result[j]!, result[i]!];
      }
      return result;
    },
  };
}

/** The raw generator: 32 random bits a call, from a state of four words that are not all zero. */
export function xoshiro128StarStar(state: Uint32Array): () => number {
  const s = Uint32Array.from(state);
  return () => {
    const result = Math.imul(rotateLeft(Math.imul(s[1]!, 5), 7), 9) >>> 0;
    const t = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= t;
    s[3] = rotateLeft(s[3]!, 11);
    return result;
  };
}

function stateFromSeed(seed: number): Uint32Array {
  // All 64 bits of the number count: seeds that differ only in a fraction or above 2^32 differ too.
  const words = new Uint32Array(Float64Array.of(seed).buffer);
  let counter = (words[0]! ^ Math.imul(words[1]!, 0x9e3779b1)) >>> 0;
  return Uint32Array.from({ length: 4 }, () => {
    counter = (counter + 0x9e3779b9) >>> 0;
    let z = counter;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  });
}

function rotateLeft(x: number, k: number): number {
  return (x << k) | (x >>> (32 - k));
}
