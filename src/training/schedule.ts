/** Learning rate at a step, as a share of the peak: a linear warm-up, then a cosine (Loshchilov and Hutter 2017). */
export function rateShare(step: number, steps: number): number {
  const warmUp = Math.max(1, Math.round(WARM_UP * steps));
  if (step < warmUp) return (step + 1) / warmUp;
  const progress = (step - warmUp) / Math.max(1, steps - warmUp);
  return FLOOR + (1 - FLOOR) * 0.5 * (1 + Math.cos(Math.PI * Math.min(1, progress)));
}

/** Shares of the steps and of the peak rate (algorithms, F). */
const WARM_UP = 0.05;
const FLOOR = 0.02;

/**
 * Share of the averaged weights that stays at a step: it grows to `limit`, so that the first steps do not weigh for
 * long.
 */
export function averagingShare(step: number, limit: number): number {
  return Math.min(limit, (1 + step) / (10 + step));
}
