import { createHash, type Hash } from 'node:crypto';
import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { badDataFile, badDataset, cannotDistil, cannotRead } from '../errors.js';
import { writeAtomically } from '../formats/files.js';
import { openRecordFile, recordBytes } from '../formats/record-file.js';
import type { Graph } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import type { FullOptions } from '../options.js';
import type { Engine, Values } from '../training/engine.js';
import { halfArrays } from '../training/half-arrays.js';
import type { RecordSection, Records, TrainingMaterial } from '../training/material.js';
import type { Dataset, Sample } from '../validate/dataset.js';
import { outputSpatial, toClassMap } from '../validate/decision.js';
import type { Interpretation } from '../validate/interpretation.js';
import { type ClassMap, loadMask } from '../validate/masks.js';
import { diceOf } from '../validate/metrics.js';
import { inputLayout, type LoadedInput, loadInput } from '../validate/preprocess.js';
import { makeFolder } from './prepare-target.js';

export interface MaterialParts {
  readonly engine: Engine;
  readonly teacher: Graph;
  readonly train: Dataset;
  readonly validation: Dataset;
  readonly interpretation: Interpretation;
  readonly options: FullOptions;
}

/** Time between two checkpoints. */
const CHECKPOINT_MS = 120_000;

/** Validation images that are kept in memory; 250 of 256x256 fit. */
const KEPT_BYTES = 64 << 20;

/** Training material as files of the data and of the folder for results. */
export interface FileMaterial extends TrainingMaterial {
  /** Removes the checkpoint; the teacher's answers stay for the next run on the same images. */
  removeCheckpoint(): Promise<void>;
}

/**
 * What distillation reads and writes.
 * @throws CompressError where images cannot be read or the folder cannot be made, and for images with channels last
 */
export async function trainingMaterial(parts: MaterialParts): Promise<FileMaterial> {
  const { engine, teacher, train, interpretation, options } = parts;
  const { name: input, shape } = interpretation.input;
  if (inputLayout(shape).channelsLast) throw cannotDistil(input, 'the model takes images with channels last');
  const folder = join(options.out, 'distill');
  await makeFolder(folder);
  const checkpoint = join(folder, `${teacher.name.replace(/[^\w.-]+/g, '-') || 'model'}.checkpoint`);
  const first = await loadInput(train.samples[0], interpretation.preprocess, interpretation.input.shape);
  const { images: imagesKey, run: key } = await digests(parts);
  return {
    engine,
    key,
    images: {
      count: train.samples.length,
      shape: first.shape,
      hasMasks: hasMasks(train, interpretation),
      load: (index) => loadTrainingImage(train.samples[index], first, interpretation),
    },
    validation: validationImages(parts),
    kindOf: (output) => (output === interpretation.output.name && isPlain(interpretation) ? 'values' : 'scores'),
    output: interpretation.output.name,
    channel: interpretation.output.channel,
    openRecords: (sections, target) =>
      openRecords(join(folder, 'targets.records'), sections, {
        key: `${imagesKey} ${target}`,
        count: train.samples.length,
        mostBytes: options.cacheSize * 1e6,
      }),
    checkpoints: checkpointFile(checkpoint, options),
    now: () => performance.now(),
    removeCheckpoint: () => rm(checkpoint, { force: true }),
  };
}

/** Whether the output holds values, or probabilities that no function of scores at its end has made. */
function isPlain({ output: { kind } }: Interpretation): boolean {
  return kind === 'values' || kind === 'prob';
}

function hasMasks({ samples }: Dataset, { labels, output }: Interpretation): boolean {
  return samples[0].maskFile !== null && labels !== null && output.kind !== 'values';
}

async function loadTrainingImage(sample: Sample, first: LoadedInput, interpretation: Interpretation) {
  const { preprocess, input, labels } = interpretation;
  const image = await loadInput(sample, preprocess, input.shape);
  if (image.shape.join() !== first.shape.join())
    throw badDataFile(
      sample.imageFile,
      `is ${image.shape.join(' x ')}, other images are ${first.shape.join(' x ')}; give them one size with preprocess.resize`,
    );
  const isLabelled = sample.maskFile !== null && labels !== null && interpretation.output.kind !== 'values';
  const mask = isLabelled ? await loadMask(sample.maskFile as string, labels, image.spatial, image) : null;
  return { input: image.data, mask: mask && Uint8Array.from(mask.data) };
}

function validationImages({ validation, interpretation }: MaterialParts): TrainingMaterial['validation'] {
  const { input, preprocess, output, labels, classes } = interpretation;
  const references = new Map<number, ClassMap | Float32Array>();
  const load = rememberFirst(KEPT_BYTES, (index) => loadInput(validation.samples[index], preprocess, input.shape));
  const read = (outputs: Values) => {
    const tensor = outputs.get(output.name);
    if (!tensor) throw badDataset(validation.folder, `cannot be judged: the model has no output '${output.name}'`);
    return tensor;
  };
  const maskOf = async (index: number, outputs: Values): Promise<ClassMap> => {
    const tensor = read(outputs);
    const { spatial } = await load(index);
    const decision = { kind: output.kind as 'logit', threshold: output.threshold, channel: output.channel };
    const numbers = { data: tensor.toNumbers() as ArrayLike<number>, shape: tensor.shape };
    return toClassMap(numbers, decision, outputSpatial(tensor.shape, spatial));
  };
  const score = async (index: number, outputs: Values): Promise<number> => {
    const reference = references.get(index);
    if (reference instanceof Float32Array) return explained(read(outputs).toFloat32(), reference);
    return reference ? diceOf(await maskOf(index, outputs), reference, classes) : 0;
  };
  return {
    count: validation.samples.length,
    async input(index) {
      const { data, shape } = await load(index);
      return new Map([[input.name, Tensor.from([1, ...shape], data)]]);
    },
    score,
    async refer(index, outputs) {
      if (output.kind === 'values') {
        references.set(index, read(outputs).toFloat32());
        return 1;
      }
      const own = await maskOf(index, outputs);
      const { maskFile } = validation.samples[index];
      references.set(index, maskFile && labels ? await loadMask(maskFile, labels, own.shape, await load(index)) : own);
      return score(index, outputs);
    },
  };
}

/** Loads what every look at the validation images needs once only, as long as there is room. */
function rememberFirst(
  mostBytes: number,
  load: (index: number) => Promise<LoadedInput>,
): (index: number) => Promise<LoadedInput> {
  const kept = new Map<number, LoadedInput>();
  let room = mostBytes;
  return async (index) => {
    const input = kept.get(index) ?? (await load(index));
    if (!kept.has(index) && input.data.byteLength <= room) {
      kept.set(index, input);
      room -= input.data.byteLength;
    }
    return input;
  };
}

/** The share of the reference's variance that values explain; for outputs that are no masks. */
function explained(values: Float32Array, reference: Float32Array): number {
  const mean = reference.reduce((sum, value) => sum + value, 0) / reference.length;
  let [error, spread] = [0, 0];
  for (let i = 0; i < reference.length; i++) {
    error += (values[i] - reference[i]) ** 2;
    spread += (reference[i] - mean) ** 2;
  }
  return spread > 0 ? 1 - error / spread : Number(error === 0);
}

function openRecords(
  path: string,
  sections: readonly RecordSection[],
  { key, count, mostBytes }: { key: string; count: number; mostBytes: number },
): Records {
  const capacity = Math.min(count, Math.floor(mostBytes / recordBytes(sections)));
  const file = openRecordFile(path, { key, sections, count: capacity, halves: halfArrays });
  return {
    capacity,
    has: (index) => index < capacity && file.has(index),
    read: (index, section) => file.read(index, section),
    write: (index, values) => file.write(index, values),
    close: () => file.close(),
  };
}

function checkpointFile(file: string, { resume }: FullOptions): TrainingMaterial['checkpoints'] {
  let last = performance.now();
  return {
    file,
    isResumed: resume === true,
    async read() {
      return readFile(file).catch((cause: NodeJS.ErrnoException) => {
        if (cause.code === 'ENOENT') return null;
        throw cannotRead(file, cause);
      });
    },
    async write(bytes) {
      // Also after a failure: trying again at every look would not help.
      last = performance.now();
      await writeAtomically(file, (sink) => sink.write(bytes));
    },
    isDue: () => performance.now() - last >= CHECKPOINT_MS,
  };
}

/**
 * Digests of the original network, of how images are read, and of names, sizes and times of change of the training
 * images; for the `run`, which chooses by them, of the validation images too.
 */
async function digests(parts: MaterialParts): Promise<{ images: string; run: string }> {
  const { teacher, train, validation, interpretation } = parts;
  const hash = createHash('sha256').update(
    JSON.stringify([
      interpretation,
      teacher.nodes.map(({ op, inputs, outputs, attributes }) => [op, inputs, outputs, attributes]),
    ]),
  );
  for (const [name, tensor] of teacher.constants) {
    hash.update(name);
    for (const chunk of tensor.chunks()) hash.update(chunk);
  }
  await addFiles(hash, train);
  const images = hash.copy().digest('hex');
  await addFiles(hash, validation);
  return { images, run: hash.digest('hex') };
}

async function addFiles(hash: Hash, { samples }: Dataset): Promise<void> {
  for (const { imageFile, maskFile } of samples)
    for (const file of [imageFile, ...(maskFile ? [maskFile] : [])]) {
      const { size, mtimeMs } = await stat(file).catch((cause) => {
        throw cannotRead(file, cause);
      });
      hash.update(JSON.stringify([file, size, mtimeMs]));
    }
}
