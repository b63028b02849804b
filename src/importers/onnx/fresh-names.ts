/** Finds names that are not taken. Each base is counted on from where it was left, however often it is asked for. */
export class FreshNames {
  private readonly counts = new Map<string, number>();

  /** @param isTaken asked about a candidate; what is handed out must count as taken from then on */
  constructor(private readonly isTaken: (name: string) => boolean) {}

  next(base: string): string {
    let count = this.counts.get(base) ?? 0;
    let name: string;
    do {
      name = count === 0 ? base : `${base}_${count}`;
      count++;
    } while (this.isTaken(name));
    this.counts.set(base, count);
    return name;
  }
}
