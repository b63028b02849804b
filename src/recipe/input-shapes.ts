import { badInputShape } from '../errors.js';

/**
 * Reads `--input-shape` items: `name=1,1,256,256`, or the numbers alone for a model with one input.
 * @throws CompressError for anything else
 */
export function readInputShapes(items: readonly string[] = [], inputs: readonly string[]): Map<string, number[]> {
  const shapes = new Map<string, number[]>();
  for (const item of items) {
    const at = item.lastIndexOf('=');
    if (at < 0 && inputs.length !== 1)
      throw badInputShape(`the model has ${inputs.length} inputs, so write name=${item}`, inputs);
    const name = at < 0 ? inputs[0] : item.slice(0, at);
    const shape = item
      .slice(at + 1)
      .split(/[,x]/)
      .map(Number);
    if (!shape.every((size) => Number.isInteger(size) && size > 0))
      throw badInputShape(`'${item}' is no list of positive whole numbers`);
    shapes.set(name, shape);
  }
  return shapes;
}
