import { bindShapes } from '../analysis/cost.js';
import { cannotDistil } from '../errors.js';
import { staticShape } from '../ir/dims.js';
import type { Graph } from '../ir/graph.js';
import type { Semantics } from '../ir/semantics.js';
import { allowedAugmentations } from './allowed-augmentations.js';
import type { AugmentationRanges } from './augment.js';
import type { MapPlan } from './batches.js';
import { type FeaturePlan, planFeature, planWholeFeature } from './feature-maps.js';
import { matchedPoints } from './feature-points.js';
import { withProjections } from './feature-projections.js';
import type { TrainingMaterial } from './material.js';
import { type ScoreOutput, scoreOutputs } from './score-outputs.js';
import { type DistillationSettings, featureWeightOf } from './settings.js';
import { type TargetPlan, TargetSource } from './target-source.js';
import { teacherGraph } from './teacher.js';

/** An output that the student learns. */
interface LessonOutput {
  /** Scores of the student. */
  readonly value: string;
  readonly reading: ScoreOutput['reading'];
  readonly weight: number;
  readonly target: TargetPlan;
}

interface LessonFeature extends FeaturePlan {
  readonly target: TargetPlan;
}

/** What there is to learn: for every image the teacher's probabilities and maps. */
export interface Lesson {
  readonly outputs: readonly LessonOutput[];
  readonly features: readonly LessonFeature[];
  readonly targets: TargetSource;
  readonly ranges: AugmentationRanges | null;
  /** All maps that go into a batch, the image first. */
  readonly maps: readonly MapPlan[];
}

export interface LessonContext {
  readonly semantics: Semantics;
  warn(message: string): void;
  progress(fraction: number, detail?: string): void;
}

/** Settles what the student is to learn, and has the teacher answer every training image once. */
export async function openLesson(
  teacher: Graph,
  student: Graph,
  { material, given, context }: { material: TrainingMaterial; given: DistillationSettings; context: LessonContext },
): Promise<Lesson> {
  const shapes = new Map([[teacher.inputs[0], [1, ...material.images.shape]]]);
  const bound = { teacher: bindShapes(teacher, shapes), student: bindShapes(student, shapes) };
  const outputs = lessonOutputs(bound, material);
  const features = lessonFeatures(bound, given, context);
  const projected = await withProjections(teacher, features, {
    material,
    semantics: context.semantics,
    onImage: (done) => context.progress(0, `features of image ${done}`),
  });
  const answers = outputs.map(({ target, reading }) => ({ scores: target.output, reading }));
  const made = teacherGraph(teacher, answers, projected, context.semantics);
  const named = outputs.map((output) => ({
    ...output,
    target: { ...output.target, output: made.targets.get(output.target.output) as string },
  }));
  const mapped = features.map((feature): LessonFeature => {
    const output = made.features.get(feature.value) as string;
    const { components: channels, pooledSize: size } = feature;
    return { ...feature, target: { section: output, output, channels, size, mask: null } };
  });
  const plans = [...named, ...mapped].map(({ target }) => target);
  const targets = new TargetSource({
    material,
    input: teacher.inputs[0],
    targets: plans,
    // Maps as they are and their principal components may have one name and size.
    key: JSON.stringify([plans, features.map(({ isAdapted }) => isAdapted)]),
    loadTeacher: () => material.engine.load(made.graph),
    warn: context.warn,
  });
  const ranges = given.augment ? await rangesFor(targets, named[0], material) : null;
  await targets.prepare((done, total) => context.progress(0, `original's answers, ${done} of ${total} images`));
  return { outputs: named, features: mapped, targets, ranges, maps: mapsOf(material, plans) };
}

interface Bound {
  readonly teacher: Graph;
  readonly student: Graph;
}

/**
 * Outputs of one resolution below another's (deep supervision) weigh half as much as that. Scores that several outputs
 * are made of (probabilities and classes, say) are learnt once.
 */
function lessonOutputs({ teacher, student }: Bound, material: TrainingMaterial): LessonOutput[] {
  const theirs = scoreOutputs(teacher, material.kindOf);
  const ours = scoreOutputs(student, material.kindOf);
  const space = material.images.shape.slice(1);
  const sizes = theirs.map(({ scores }) => (staticShape(teacher.type(scores).shape) ?? []).slice(2));
  const areas = [...new Set(sizes.map(area))].sort((a, b) => b - a);
  return theirs.flatMap(({ output, scores, reading }, i): LessonOutput[] => {
    const same = theirs.filter((other) => other.scores === scores);
    if (same[0].output !== output) return [];
    const shape = staticShape(teacher.type(scores).shape);
    const own = staticShape(student.type(ours[i].scores).shape);
    if (!shape || own?.join() !== shape.join())
      throw cannotDistil(output, `the original's scores have shape [${shape}], the smaller network's [${own}]`);
    const size = shape.slice(2);
    const isMasked = same.some((other) => other.output === material.output) && size.join() === space.join();
    const mask = isMasked ? { channel: material.channel, areClasses: reading === 'classes' } : null;
    const target = { section: `target/${i}`, output: scores, channels: shape[1], size, mask };
    return [{ value: ours[i].scores, reading, weight: 0.5 ** areas.indexOf(area(sizes[i])), target }];
  });
}

function area(size: readonly number[]): number {
  return size.reduce((product, n) => product * n, 1);
}

function lessonFeatures(
  { teacher, student }: Bound,
  given: DistillationSettings,
  { warn }: LessonContext,
): FeaturePlan[] {
  if (featureWeightOf(given) === 0) return [];
  const points = matchedPoints(teacher, student);
  if (points.length === 0)
    warn('no feature map of the smaller network has a counterpart in the original; it learns from the outputs alone');
  return points.map(given.featureLoss === 'paper' ? planWholeFeature : planFeature);
}

async function rangesFor(
  targets: TargetSource,
  { target, reading }: LessonOutput,
  material: TrainingMaterial,
): Promise<AugmentationRanges> {
  return targets.withTeacher((teacher, input) =>
    allowedAugmentations(material, teacher, {
      input,
      target: target.output,
      channels: target.channels,
      size: target.size,
      reading,
    }),
  );
}

function mapsOf(material: TrainingMaterial, plans: readonly TargetPlan[]): MapPlan[] {
  const [channels, ...size] = material.images.shape;
  const image = { name: 'input', channels, size, isImage: true };
  return [
    image,
    ...plans.map(({ section, ...plan }) => ({
      name: section,
      channels: plan.channels,
      size: plan.size,
      isImage: false,
    })),
  ];
}
