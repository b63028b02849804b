import type { Best } from './checkpoint.js';
import type { ResolvedSettings } from './settings.js';

/** The line that shows how far training has come. */
export class ProgressText {
  private first: { readonly step: number; readonly at: number } | undefined;

  constructor(
    private readonly settings: ResolvedSettings,
    private readonly teacherScore: number,
    private readonly now: () => number,
  ) {}

  line(step: number, terms: Readonly<Record<string, number>>, best: Best | null): string {
    this.first ??= { step, at: this.now() };
    const { batch, steps } = this.settings;
    const done = step - this.first.step;
    const rate = done > 0 ? (1000 * done * batch) / (this.now() - this.first.at) : undefined;
    const losses = Object.entries(terms).map(([term, value]) => `${term} ${value.toFixed(3)}`);
    return [
      `step ${step}/${steps}`,
      rate === undefined ? '' : `${rate.toFixed(1)} images/s`,
      losses.join(' '),
      best ? `validation Dice ${best.score.toFixed(4)} (original ${this.teacherScore.toFixed(4)})` : '',
    ]
      .filter((part) => part !== '')
      .join(', ');
  }
}
