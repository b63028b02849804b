import { messageOf } from '../errors.js';
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
  /** Whether masks, where there are any, take half the weight of this target; they have its size then. */
  readonly mask: { readonly channel: number | null } | null;
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
      ...(hasMasks ? [{ name: MASK, dtype: 'u8' as const, length: count(shape.slice(1)) }] : []),
    ];
    this.records = material.openRecords(sections, key);
  }

  /** Runs the teacher on every image that has no record yet; returns how many those were. */
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

  private keep(index: number, values: RecordValues): void {
    try {
      this.records.write(index, values);
    } catch (error) {
      this.isFull = true;
      this.parts.warn(
        `targets are not cached any more (${messageOf(error)}); the original runs on an image whenever it is needed, so a step takes longer`,
      );
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
    if (image.mask) values.set(MASK, image.mask);
    return values;
  }

  private async closeTeacher(): Promise<void> {
    await this.teacher?.close();
    this.teacher = undefined;
  }
}

/** The target half from the teacher, half from the mask: the entropy is linear in it, so the halves are terms. */
function withMask(teacher: Float32Array, mask: Uint8Array, { channels, mask: how }: TargetPlan): Float32Array {
  const target = Float32Array.from(teacher);
  const pixels = mask.length;
  for (let c = 0; c < channels; c++) {
    // A single channel, or the one that is read alone, is the foreground; else channels are classes.
    const isForeground = channels === 1 || c === how?.channel;
    if (how?.channel !== null && !isForeground) continue;
    for (let i = 0; i < pixels; i++) {
      const truth = isForeground ? Number(mask[i] > 0) : Number(mask[i] === c);
      const at = c * pixels + i;
      target[at] = (1 - MASK_WEIGHT) * teacher[at] + MASK_WEIGHT * truth;
    }
  }
  return target;
}
