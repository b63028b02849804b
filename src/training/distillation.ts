import { createHash } from 'node:crypto';
import { cannotDistil, messageOf } from '../errors.js';
import type { Graph } from '../ir/graph.js';
import { withConstants } from '../ir/rewrite.js';
import type { Semantics } from '../ir/semantics.js';
import { type Checkpoint, type CurvePoint, decodeCheckpoint, encodeCheckpoint } from './checkpoint.js';
import type { Values } from './engine.js';
import { type Fitted, fitStudent } from './fit.js';
import { openLesson } from './lesson.js';
import type { TrainingMaterial } from './material.js';
import { restoreNormalization } from './normalization.js';
import { normalizedStudent } from './normalized-student.js';
import { type ParameterLayout, parametersOf, unpack } from './parameters.js';
import { ProgressText } from './progress-text.js';
import { randomWeights } from './random-start.js';
import { type DistillationSettings, type ResolvedSettings, resolveSettings } from './settings.js';
import { Stopwatch } from './stopwatch.js';
import { openStudentStep, type StudentStep } from './student-step.js';
import { stepsWithin } from './timed-start.js';

interface DistillationContext {
  readonly semantics: Semantics;
  readonly seed: number;
  readonly signal?: AbortSignal;
  warn(message: string): void;
  progress(fraction: number, detail?: string): void;
}

export interface Distilled {
  /** The student with new weights; its normalizations are not folded. */
  readonly graph: Graph;
  readonly settings: ResolvedSettings;
  readonly curve: readonly CurvePoint[];
  /** Steps done, fewer than planned where training stopped early. */
  readonly steps: number;
  /** Share of the training time, looks at validation images aside, in which a step was running. */
  readonly stepsShare: number;
  readonly best: { readonly step: number; readonly score: number };
  /** The original's mean Dice on the same validation images. */
  readonly teacherScore: number;
  /** In which operators the step was written. */
  readonly kernels: string;
  /** Names of the feature maps that were compared. */
  readonly features: readonly string[];
}

interface Surroundings {
  readonly material: TrainingMaterial;
  readonly given: DistillationSettings;
  readonly context: DistillationContext;
}

/**
 * Teaches `student` what `teacher` does: by the teacher's probabilities, by the masks where there are any, and by the
 * teacher's feature maps at matched points (Vaze, Xie and Namburete 2020). Returns the student with the weights that
 * scored best on the validation images.
 *
 * @throws CompressError where a node cannot be trained through, training diverges twice, or it is interrupted
 */
export async function distil(teacher: Graph, student: Graph, around: Surroundings): Promise<Distilled> {
  const { material, given, context } = around;
  const { semantics, seed } = context;
  const started = material.now();
  requireSingle(student);
  const normalized = await startOf(student, around);
  const lesson = await openLesson(teacher, normalized, around);
  try {
    const teacherScore = await scoreTeacher(teacher, material);
    const training = await openStudentStep(normalized, lesson, { material, given, semantics, seed });
    try {
      const saved = await savedCheckpoint(normalized, around);
      const settings = saved?.settings ?? (await settle(training, started, around));
      const fitted = await train(normalized, training, { around, settings, teacherScore, start: saved?.checkpoint });
      return {
        graph: studentWith(normalized, training.step.layout, { ...fitted.best, semantics }),
        settings,
        curve: fitted.curve,
        steps: fitted.steps,
        stepsShare: fitted.stepsShare,
        best: { step: fitted.best.step, score: fitted.best.score },
        teacherScore,
        kernels: training.kernels,
        features: lesson.features.map(({ value }) => value),
      };
    } finally {
      await training.loaded.close();
    }
  } finally {
    await lesson.targets.close();
  }
}

/** Rules of gradients are written for float32, which is also what training needs. */
function requireSingle(student: Graph): void {
  const [input] = student.inputs;
  const { dtype } = student.type(input);
  if (dtype !== 'f32') throw cannotDistil(input, `the network computes in ${dtype}, and is trained in f32 only`);
  if (parametersOf(student).size === 0) throw cannotDistil(student.name, 'it has no float32 weights to train');
}

/** The student in training form, with the weights that training starts from. */
async function startOf(student: Graph, { material, given, context }: Surroundings): Promise<Graph> {
  const { semantics, seed } = context;
  if (given.start === 'fitted') return normalizedStudent(student, material, semantics);
  return randomWeights(restoreNormalization(student, semantics).graph, semantics, seed);
}

/** Steps that fit the time, where that is what was given, and everything that follows from their number. */
async function settle(training: StudentStep, started: number, { material, given }: Surroundings) {
  const parameters = training.step.layout.size;
  const images = material.images.count;
  if (given.minutes === undefined) return resolveSettings(given, { parameters, images });
  const left = given.minutes * 60_000 - (material.now() - started);
  return resolveSettings(given, { parameters, images, steps: await stepsWithin(left, training, material) });
}

async function train(
  normalized: Graph,
  training: StudentStep,
  run: { around: Surroundings; settings: ResolvedSettings; teacherScore: number; start: Checkpoint | undefined },
): Promise<Fitted & { stepsShare: number }> {
  const { material, context } = run.around;
  const { semantics } = context;
  const { layout, terms } = training.step;
  const text = new ProgressText(run.settings, run.teacherScore, () => material.now());
  const key = keyOf(normalized, run.around);
  const save = saver(run.around);
  const fresh: Checkpoint = { step: 0, state: training.start, best: null, curve: [], rateFactor: 1 };
  const watch = new Stopwatch(() => material.now());
  const { loaded } = training;
  const timed = { ...loaded, run: (inputs: Values) => watch.time('steps', () => loaded.run(inputs)) };
  const started = material.now();
  const fitted = await fitStudent(timed, terms, run.settings, {
    start: run.start ?? fresh,
    hooks: {
      batch: (step) => training.batch(step, run.settings.augmented),
      evaluate(parameters, statistics) {
        const student = studentWith(normalized, layout, { parameters, statistics, semantics });
        return watch.time('looks', () => scoreStudent(student, material));
      },
      async checkpoint(checkpoint) {
        if (material.checkpoints.isDue()) await save(encodeCheckpoint(checkpoint, key, run.settings));
      },
      progress: (step, means, best) => context.progress(step / run.settings.steps, text.line(step, means, best)),
      warn: context.warn,
      signal: context.signal,
    },
  });
  const trainingSeconds = (material.now() - started) / 1000 - watch.seconds('looks');
  return { ...fitted, stepsShare: watch.seconds('steps') / trainingSeconds };
}

/**
 * Writes checkpoints. Training that cannot be saved goes on, with one warning: what is lost is only the way back after
 * an interruption.
 */
function saver({ material, context }: Surroundings): (bytes: Uint8Array) => Promise<void> {
  let isWarned = false;
  return async (bytes) => {
    try {
      await material.checkpoints.write(bytes);
    } catch (error) {
      if (!isWarned) context.warn(`an interrupted run could not be resumed from here on: ${messageOf(error)}`);
      isWarned = true;
    }
  };
}

function studentWith(
  normalized: Graph,
  layout: ParameterLayout,
  { parameters, statistics, semantics }: { parameters: Float32Array; statistics: Float32Array; semantics: Semantics },
): Graph {
  return withConstants(normalized, semantics, unpack(layout, parameters, statistics));
}

/** Mean score of a network on the validation images. */
async function scoreStudent(graph: Graph, material: TrainingMaterial): Promise<number> {
  return scoreWith(graph, material, (index, outputs) => material.validation.score(index, outputs));
}

async function scoreTeacher(graph: Graph, material: TrainingMaterial): Promise<number> {
  return scoreWith(graph, material, (index, outputs) => material.validation.refer(index, outputs));
}

async function scoreWith(
  graph: Graph,
  { engine, validation }: TrainingMaterial,
  score: (index: number, outputs: Awaited<ReturnType<TrainingMaterial['validation']['input']>>) => Promise<number>,
): Promise<number> {
  const loaded = await engine.load(graph);
  let sum = 0;
  try {
    for (let index = 0; index < validation.count; index++)
      sum += await score(index, await loaded.run(await validation.input(index)));
  } finally {
    await loaded.close();
  }
  return sum / validation.count;
}

async function savedCheckpoint(normalized: Graph, around: Surroundings) {
  const { checkpoints } = around.material;
  if (!checkpoints.isResumed) return null;
  const bytes = await checkpoints.read();
  if (bytes) return decodeCheckpoint(bytes, keyOf(normalized, around), checkpoints.file);
  around.context.warn(`there is no checkpoint ${checkpoints.file} to resume from, so training began at its first step`);
  return null;
}

/** Digest of all that a run's course depends on. */
function keyOf(normalized: Graph, { material, given, context }: Surroundings): string {
  const hash = createHash('sha256').update(JSON.stringify([material.key, given, context.seed]));
  for (const [name, tensor] of normalized.constants) {
    hash.update(name);
    for (const chunk of tensor.chunks()) hash.update(chunk);
  }
  return hash.digest('hex');
}
