/** Adds up how long asynchronous work takes, by what it was. */
export class Stopwatch {
  private readonly totals = new Map<string, number>();

  constructor(private readonly now: () => number) {}

  async time<T>(what: string, work: () => Promise<T>): Promise<T> {
    const from = this.now();
    try {
      return await work();
    } finally {
      this.totals.set(what, (this.totals.get(what) ?? 0) + this.now() - from);
    }
  }

  seconds(what: string): number {
    return (this.totals.get(what) ?? 0) / 1000;
  }
}
