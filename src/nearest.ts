import { closest, distance } from 'fastest-levenshtein';

/** The known word that was probably meant; undefined where none is near. */
export function nearestWord(word: string, known: readonly string[]): string | undefined {
  if (known.length === 0) return undefined;
  const near = closest(word, known);
  return distance(word, near) <= Math.max(2, Math.ceil(word.length / 3)) ? near : undefined;
}

/** The few known words that are nearest, nearest first. */
export function nearestWords(word: string, known: readonly string[], count: number): string[] {
  return known
    .map((name) => ({ name, distance: distance(word, name) }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, count)
    .map(({ name }) => name);
}
