import { diskFull } from '../../src/errors.js';
import { Tensor } from '../../src/ir/tensor.js';
import { createRandom } from '../../src/math/random.js';
import type { Engine, Values } from '../../src/training/engine.js';
import { halfArrays } from '../../src/training/half-arrays.js';
import type {
  RecordSection,
  Records,
  RecordValues,
  TrainingImage,
  TrainingMaterial,
} from '../../src/training/material.js';
import { inProcessEngine } from './in-process-engine.js';

/** Records in memory, in the precision of those on disk. */
export class MemoryRecords implements Records {
  private readonly kept = new Map<number, RecordValues>();
  private readonly damaged = new Set<number>();
  writes = 0;

  /** @param room records that can be written before the disk is full */
  constructor(
    readonly sections: readonly RecordSection[],
    readonly capacity: number,
    private readonly room = Number.POSITIVE_INFINITY,
  ) {}

  has(index: number): boolean {
    return this.kept.has(index) && !this.damaged.has(index);
  }

  read(index: number, section: string): Float32Array | Uint8Array | undefined {
    return this.has(index) ? this.kept.get(index)?.get(section)?.slice() : undefined;
  }

  write(index: number, values: RecordValues): void {
    if (this.writes >= this.room) throw diskFull('targets.records');
    for (const { name, length } of this.sections)
      if (values.get(name)?.length !== length) throw new Error(`section ${name} takes ${length} values`);
    this.writes++;
    this.damaged.delete(index);
    const rounded = this.sections.map(({ name, dtype }) => {
      const array = values.get(name) as Float32Array | Uint8Array;
      return [name, dtype === 'f16' ? rounding(array as Float32Array) : array.slice()] as const;
    });
    this.kept.set(index, new Map(rounded));
  }

  /** As a record of which a bit has changed: it is not there. */
  damage(index: number): void {
    this.damaged.add(index);
  }

  close(): void {}
}

function rounding(values: Float32Array): Float32Array {
  const codes = new Uint16Array(values.length);
  halfArrays.encode(values, codes);
  const rounded = new Float32Array(values.length);
  halfArrays.decode(codes, rounded);
  return rounded;
}

export interface MaterialOptions {
  readonly engine?: Engine;
  /** Of every image: [channels, space…]. */
  readonly shape: readonly number[];
  /** Training images. */
  readonly count?: number;
  /** Classes in the masks, background included; 0: no masks. */
  readonly classes?: number;
  readonly validationCount?: number;
  /** What the output that is judged is called, and whether it holds logits or probabilities. */
  readonly output: string;
  readonly kind?: 'logit' | 'prob';
  readonly input?: string;
  /** Images that find room in the cache; by default all. */
  readonly capacity?: number;
  readonly room?: number;
  /** The last checkpoint of a run that is resumed. */
  readonly resumed?: Uint8Array | null;
  /** Called instead of keeping a checkpoint. */
  readonly onCheckpoint?: (bytes: Uint8Array) => void;
  readonly image?: (index: number) => TrainingImage;
  readonly records?: (sections: readonly RecordSection[], key: string) => Records;
}

/**
 * Training material in memory: seeded images of noise with a bright box, which is the first class, and a brighter one
 * inside it, which is the second. A checkpoint is due at every look at the validation images.
 */
export function memoryMaterial(options: MaterialOptions): TrainingMaterial {
  const { engine = inProcessEngine, shape, count = 6, classes = 2, output, input = 'x' } = options;
  const make = options.image ?? ((index: number) => boxImage(shape, classes, index));
  const { resumed = null } = options;
  return {
    engine,
    key: `images of [${shape}]`,
    images: { count, shape, hasMasks: make(0).mask !== null, load: async (index) => make(index) },
    validation: validationOf(options, input, (index) => make(1000 + index)),
    kindOf: () => 'scores',
    output,
    channel: null,
    openRecords:
      options.records ?? ((sections) => new MemoryRecords(sections, options.capacity ?? count, options.room)),
    checkpoints: {
      file: 'run.checkpoint',
      isResumed: options.resumed !== undefined,
      read: async () => resumed,
      write: async (bytes) => options.onCheckpoint?.(bytes),
      isDue: () => true,
    },
    now: () => performance.now(),
  };
}

function validationOf(
  { shape, output, kind = 'logit', validationCount = 2 }: MaterialOptions,
  input: string,
  make: (index: number) => TrainingImage,
): TrainingMaterial['validation'] {
  const references = new Map<number, Uint8Array>();
  const decide = (outputs: Values) => classesOf(outputs.get(output) as Tensor, kind === 'prob' ? 0.5 : 0);
  const score = async (index: number, outputs: Values) =>
    meanDice(decide(outputs), references.get(index) as Uint8Array);
  return {
    count: validationCount,
    input: async (index) => new Map([[input, Tensor.floats(make(index).input, [1, ...shape])]]),
    score,
    async refer(index, outputs) {
      references.set(index, make(index).mask ?? decide(outputs));
      return score(index, outputs);
    },
  };
}

function classesOf(tensor: Tensor, threshold: number): Uint8Array {
  const values = tensor.toFloat32();
  const channels = tensor.shape[1];
  const positions = values.length / channels;
  return Uint8Array.from({ length: positions }, (_, i) => {
    if (channels === 1) return Number(values[i] > threshold);
    const scores = Array.from({ length: channels }, (_, c) => values[c * positions + i]);
    return scores.indexOf(Math.max(...scores));
  });
}

function meanDice(found: Uint8Array, reference: Uint8Array): number {
  const classes = Math.max(1, ...found, ...reference);
  let sum = 0;
  for (let label = 1; label <= classes; label++) {
    let [both, all] = [0, 0];
    for (let i = 0; i < found.length; i++) {
      both += Number(found[i] === label && reference[i] === label);
      all += Number(found[i] === label) + Number(reference[i] === label);
    }
    sum += all > 0 ? (2 * both) / all : 1;
  }
  return sum / classes;
}

/** Noise with nested boxes of growing brightness at a seeded place; the mask says in how many boxes a position lies. */
export function boxImage(shape: readonly number[], classes: number, index: number): TrainingImage {
  const random = createRandom(500 + index);
  const [channels, ...size] = shape;
  const positions = size.reduce((product, extent) => product * extent, 1);
  const starts = size.map((extent) => random.integer(Math.max(1, extent >> 1)));
  const labels = Uint8Array.from({ length: positions }, (_, position) => {
    let rest = position;
    let depth = Number.POSITIVE_INFINITY;
    for (let axis = size.length - 1; axis >= 0; axis--) {
      const at = (rest % size[axis]) - starts[axis];
      rest = Math.floor(rest / size[axis]);
      depth = Math.min(depth, at, (size[axis] >> 1) - 1 - at);
    }
    return Math.max(0, Math.min(classes - 1, depth + 1));
  });
  const input = Float32Array.from(
    { length: channels * positions },
    (_, i) => labels[i % positions] + 0.3 * random.normal(),
  );
  return { input, mask: classes > 0 ? labels : null };
}
