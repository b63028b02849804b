import picomatch from 'picomatch';
import { badOption, noSuchLayer } from '../errors.js';
import { nearestWords } from '../nearest.js';

/** What the user wants for single layers, by name. */
export interface LayerChoice {
  /** The fraction of channels to keep; undefined where the general one holds. */
  keep(layer: string): number | undefined;
  /** Whether the layer is to be left as it is by every lossy pass. */
  isExcluded(layer: string): boolean;
}

/**
 * Reads `--keep-layer glob=keep` and `--exclude glob`. `*` also matches across '/', since layer names are no paths.
 * @throws CompressError for a fraction outside (0, 1] and for a glob that matches no layer
 */
export function readLayerChoice(
  layers: readonly string[],
  keepLayer: readonly string[] = [],
  exclude: readonly string[] = [],
): LayerChoice {
  const fractions = new Map<string, number>();
  for (const item of keepLayer) {
    const at = item.lastIndexOf('=');
    const keep = Number(item.slice(at + 1));
    if (at < 1 || !(keep > 0 && keep <= 1))
      throw badOption('--keep-layer', `must be glob=keep with a fraction above 0 and at most 1, not '${item}'`);
    for (const layer of matching('--keep-layer', item.slice(0, at), layers)) fractions.set(layer, keep);
  }
  for (const glob of exclude) for (const layer of matching('--exclude', glob, layers)) fractions.set(layer, 1);
  return { keep: (layer) => fractions.get(layer), isExcluded: (layer) => fractions.get(layer) === 1 };
}

function matching(option: string, glob: string, layers: readonly string[]): string[] {
  const matches = picomatch(glob.replace(/\*+/g, '**').replaceAll('/', '\u0001'), { dot: true });
  const found = layers.filter((layer) => layer === glob || matches(layer.replaceAll('/', '\u0001')));
  if (found.length === 0) throw noSuchLayer(option, glob, nearestWords(glob, layers, 3));
  return found;
}
