import { CompressError } from '../errors.js';
import { Tensor } from '../ir/tensor.js';
import type { MapPlan } from './batches.js';
import type { LoadedGraph, Values } from './engine.js';
import type { RecordSection, Records, RecordValues, TrainingMaterial } from './material.js';

/** An array of the teacher that is kept for every image. */
export interface TargetPlan {
  /** Section of the record. */
  readonly section: string;
  /** Output of the teacher graph. */
  readonly output: string;
  readonly channels: number;
  readonly size: readonly number[];
  /**
   * Present where masks, if there are any, take half the weight of this target; they have its size then. `channel` is
   * the one that is the foreground; null: a channel is a class, or the only one is the foreground.
   */
  readonly mask: { readonly channel: number | null; readonly areClasses: boolean } | null;
}

export interface TargetSourceParts {
  readonly material: TrainingMaterial;
  /** Name of the teacher's input. */
  readonly input: string;
  readonly targets: readonly TargetPlan[];
  /** Digest of what the targets depend on beside the material. */
  readonly key: string;
  loadTeacher(): Promise<LoadedGraph>;
  warn(message: string): void;
}

/** Weight of the masks beside the teacher's probabilities (algorithms, F). */
const MASK_WEIGHT = 0.5;

const INPUT = 'input';
const MASK = 'mask';
/** Whether the mask has anything in it, so that this is known without reading masks. */
const FOREGROUND = 'foreground';

/** Codes of errors that mean that a file cannot be written (any more). */
const UNWRITABLE: ReadonlySet<string> = new Set(['disk-full', 'cannot-write']);

/** Where there is no room at all. */
const NO_RECORDS: Records = {
  capacity: 0,
  has: () => false,
  read: () => undefined,
  write: () => {},
  close: () => {},
};

/**
 * Images and the teacher's answers to them. The teacher runs once per image; what it said is read from disk from then
 * on. Where the disk has no room it runs again whenever the image is asked for, which is slower but right.
 */
export class TargetSource {
  private readonly records: Records;
  private teacher: LoadedGraph | undefined;
  private isFull = false;
  private last: { index: number; values: RecordValues } | undefined;

  constructor(private readonly parts: TargetSourceParts) {
    const { material, targets, key } = parts;
    const { shape, hasMasks } = material.images;
    const count = (dims: readonly number[]) => dims.reduce((product, size) => product * size, 1);
    const sections: RecordSection[] = [
      { name: INPUT, dtype: 'f32', length: count(shape) },
      ...targets.map(({ section, channels, size }) => ({
        name: section,
        dtype: 'f16' as const,
        length: channels * count(size),
      })),
      ...(hasMasks
        ? [
            { name: MASK, dtype: 'u8' as const, length: count(shape.slice(1)) },
            { name: FOREGROUND, dtype: 'u8' as const, length: 1 },
          ]
        : []),
    ];
    this.records = this.whileThereIsRoom(() => material.openRecords(sections, key)) ?? NO_RECORDS;
  }

  /**
   * Runs the teacher on every image that has no record yet; returns how many those were. Warns where there is no room
   * for all of them, and where all masks are empty.
   */
  async prepare(onImage: (done: number, total: number) => void): Promise<number> {
    const { count } = this.parts.material.images;
    let computed = 0;
    for (let index = 0; index < count && !this.isFull; index++) {
      if (!this.records.has(index) && index < this.records.capacity) {
        this.keep(index, await this.compute(index));
        computed++;
      }
      onImage(index + 1, count);
    }
    const uncached = count - this.records.capacity;
    if (uncached > 0 && !this.isFull)
      this.parts.warn(
        `the cache has no room for ${uncached} of ${count} images, for which the original runs every time; give a larger --cache-size`,
      );
    if (!this.isFull && uncached <= 0) await this.closeTeacher();
    if (this.parts.material.images.hasMasks && !(await this.hasForeground()))
      this.parts.warn(
        'the masks of all training images are empty, so half of what is learnt says that there is nothing; check the masks and labels',
      );
    return computed;
  }

  /** One map of an image, for a batch; masks are mixed into the targets that they belong to. */
  async read(index: number, map: MapPlan): Promise<Float32Array> {
    const section = map.isImage ? INPUT : map.name;
    const values = await this.section(index, section);
    const target = this.parts.targets.find((candidate) => candidate.section === section);
    if (!target?.mask || !this.parts.material.images.hasMasks) return values as Float32Array;
    const mask = (await this.section(index, MASK)) as Uint8Array;
    return withMask(values as Float32Array, mask, target);
  }

  /** Lets the teacher answer something else. */
  async withTeacher<T>(use: (teacher: LoadedGraph, input: string) => Promise<T>): Promise<T> {
    this.teacher ??= await this.parts.loadTeacher();
    return use(this.teacher, this.parts.input);
  }

  async close(): Promise<void> {
    this.records.close();
    await this.closeTeacher();
  }

  private async section(index: number, name: string): Promise<Float32Array | Uint8Array> {
    const stored = this.records.has(index) ? this.records.read(index, name) : undefined;
    if (stored) return stored;
    if (this.last?.index !== index) {
      this.last = { index, values: await this.compute(index) };
      if (!this.isFull && index < this.records.capacity) this.keep(index, this.last.values);
    }
    return this.last.values.get(name) as Float32Array | Uint8Array;
  }

  /** Whether any mask is not empty; mostly the first one answers. */
  private async hasForeground(): Promise<boolean> {
    const { images } = this.parts.material;
    for (let index = 0; index < images.count; index++) {
      const known = this.records.has(index) ? this.records.read(index, FOREGROUND) : undefined;
      if (known ? known[0] > 0 : isForeground((await images.load(index)).mask)) return true;
    }
    return false;
  }

  private keep(index: number, values: RecordValues): void {
    this.whileThereIsRoom(() => this.records.write(index, values));
  }

  /** What `use` gives, unless the disk refuses: then nothing is cached from now on. */
  private whileThereIsRoom<T>(use: () => T): T | undefined {
    try {
      return use();
    } catch (error) {
      if (!(error instanceof CompressError && UNWRITABLE.has(error.code))) throw error;
      this.isFull = true;
      this.parts.warn(
        `the original's answers are not cached any more (${error.message}); it runs on an image whenever that is needed, so a step takes longer`,
      );
      return undefined;
    }
  }

  private async compute(index: number): Promise<RecordValues> {
    const { material, input, targets } = this.parts;
    const image = await material.images.load(index);
    this.teacher ??= await this.parts.loadTeacher();
    const feeds: Values = new Map([[input, Tensor.floats(image.input, [1, ...material.images.shape])]]);
    const outputs = await this.teacher.run(feeds);
    const values = new Map<string, Float32Array | Uint8Array>([[INPUT, image.input]]);
    for (const { section, output } of targets) values.set(section, (outputs.get(output) as Tensor).toFloat32());
    if (image.mask) values.set(MASK, image.mask).set(FOREGROUND, Uint8Array.of(Number(isForeground(image.mask))));
    return values;
  }

  private async closeTeacher(): Promise<void> {
    await this.teacher?.close();
    this.teacher = undefined;
  }
}

function isForeground(mask: Uint8Array | null): boolean {
  return mask?.some((label) => label > 0) ?? false;
}

/** The target half from the teacher, half from the mask: the entropy is linear in it, so the halves are terms. */
function withMask(teacher: Float32Array, mask: Uint8Array, target: TargetPlan): Float32Array {
  const truth = truthOf(teacher, mask, target);
  return truth.map((value, at) => (1 - MASK_WEIGHT) * teacher[at] + MASK_WEIGHT * value);
}

/** What the mask says, and the teacher where the mask says nothing. */
function truthOf(teacher: Float32Array, mask: Uint8Array, { channels, mask: how }: TargetPlan): Float32Array {
  const truth = Float32Array.from(teacher);
  const pixels = mask.length;
  const foreground = channels === 1 ? 0 : (how?.channel ?? null);
  for (let i = 0; i < pixels; i++) {
    if (foreground === null) {
      // A class that the network does not know is left to the teacher.
      if (mask[i] < channels) for (let c = 0; c < channels; c++) truth[c * pixels + i] = Number(mask[i] === c);
      continue;
    }
    const at = foreground * pixels + i;
    const rest = 1 - Number(mask[i] > 0);
    if (how?.areClasses) scaleOthers(truth, { i, pixels, at, to: rest });
    truth[at] = 1 - rest;
  }
  return truth;
}

/** The other channels of a pixel sum to `to`, in the teacher's proportions. */
function scaleOthers(truth: Float32Array, pixel: { i: number; pixels: number; at: number; to: number }): void {
  const { i, pixels, at, to } = pixel;
  let sum = 0;
  for (let other = i; other < truth.length; other += pixels) if (other !== at) sum += truth[other];
  const equal = to / (truth.length / pixels - 1);
  for (let other = i; other < truth.length; other += pixels)
    if (other !== at) truth[other] = sum > 0 ? (truth[other] * to) / sum : equal;
}
