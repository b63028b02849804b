/** What the user gave; what is left out is derived from the model, the data and the clock. */
export interface DistillationSettings {
  readonly steps?: number;
  readonly minutes?: number;
  readonly batch?: number;
  /** Peak learning rate. */
  readonly rate?: number;
  readonly augment: boolean;
  /** Weight of the feature loss beside the output's; 0 leaves it out. */
  readonly featureWeight?: number;
  readonly featureLoss: 'adapted' | 'paper';
  /** Whether the student's weights are a start, or are drawn anew. */
  readonly start: 'fitted' | 'random';
}

/** What a run is replayed with. */
export interface ResolvedSettings {
  readonly steps: number;
  readonly batch: number;
  readonly rate: number;
  readonly averaging: number;
  /** Share of the training images that are augmented. */
  readonly augmented: number;
  readonly evaluateEvery: number;
  readonly patience: number;
  readonly featureWeight: number;
}

const BATCH = 8;

/** Weight of all feature maps together: ours, and what those of Vaze, Xie and Namburete 2020 (section III-C) sum to. */
const FEATURE_WEIGHTS = { adapted: 0.5, paper: 10 };

/** Steps where nothing limits the time; see docs/results for what more bring. */
const STEPS = 4000;

/** Peak rate for a student of `USUAL_SIZE` parameters at a batch of 8 (algorithms, F); larger students take less. */
const RATE = 2e-3;
const USUAL_SIZE = 1e5;

/**
 * Passes over the training images up to which none of them is augmented, and from which on all are. In a few passes
 * there is little to learn by heart, and images that are turned and enlarged only take the place of those that the
 * network will meet (measured with 14 passes over 346 images at a quarter of the width: validation Dice 0.9724 with all
 * images augmented and 0.9764 with none; on another set 0.9781 with a third of them and with none).
 */
const PLAIN_PASSES = 15;
const AUGMENTED_PASSES = 40;

/** Looks at the validation images in a full run, and how many of them without a rise end it. */
const LOOKS = 30;

/** Steps between two looks, at least: a look costs about as much as some steps. */
const LEAST_BETWEEN = 20;
const PATIENCE = 12;

export function batchOf({ batch }: DistillationSettings): number {
  return batch ?? BATCH;
}

export function featureWeightOf({ featureWeight, featureLoss }: DistillationSettings): number {
  return featureWeight ?? FEATURE_WEIGHTS[featureLoss];
}

export function resolveSettings(
  given: DistillationSettings,
  { steps = given.steps ?? STEPS, parameters, images }: { steps?: number; parameters: number; images: number },
): ResolvedSettings {
  const batch = batchOf(given);
  const rate = RATE * Math.min(1, (USUAL_SIZE / parameters) ** 0.25) * Math.sqrt(batch / BATCH);
  return {
    steps,
    batch,
    rate: given.rate ?? rate,
    // The average reaches over about a twentieth of the run, at most over the last 500 steps.
    averaging: 1 - 1 / Math.min(500, Math.max(10, steps / 20)),
    augmented: given.augment ? augmentedShare((steps * batch) / images) : 0,
    evaluateEvery: Math.min(steps, Math.max(LEAST_BETWEEN, Math.ceil(steps / LOOKS))),
    patience: PATIENCE,
    featureWeight: featureWeightOf(given),
  };
}

function augmentedShare(passes: number): number {
  return Math.min(1, Math.max(0, (passes - PLAIN_PASSES) / (AUGMENTED_PASSES - PLAIN_PASSES)));
}
