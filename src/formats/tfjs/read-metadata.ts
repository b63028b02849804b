import { dirname, join, posix, win32 } from 'node:path';
import { notAModel } from '../../errors.js';
import { fileBytes } from '../bytes.js';

/** An input or output as the signature of a graph model has it. */
interface TfjsValueInfo {
  readonly name: string;
  /** TensorFlow's name of the element type, e.g. `DT_FLOAT`. */
  readonly dtype: string;
  /** Null for an open size, or, as a whole, for an unknown rank. */
  readonly shape: readonly (number | null)[] | null;
}

export interface TfjsMetadata {
  readonly metadata: ReadonlyMap<string, string>;
  readonly inputs: readonly TfjsValueInfo[];
  readonly outputs: readonly TfjsValueInfo[];
  /** The model.json and the files with the weights, which may be missing. */
  readonly files: readonly string[];
}

/** Nodes without their weights; the file takes several times its size in memory. */
const LARGEST_MODEL_JSON = 32 * 1024 * 1024;

/** More axes than any runtime takes. */
const MOST_AXES = 32;

/**
 * What the model.json of a graph model says of itself: the texts among its user-defined metadata, and the inputs and
 * outputs of its signature (none without one). The files with the weights are named, but not looked at.
 *
 * @throws CompressError when the file cannot be read or is no graph model
 */
export function readTfjsMetadata(file: string): TfjsMetadata {
  const model = parse(file);
  const { format, modelTopology, userDefinedMetadata = {}, signature = {}, weightsManifest = [] } = model;
  if (format !== 'graph-model') {
    throw notAModel(file, `its "format" is ${quote(format)} and not "graph-model"`);
  }
  if (!isRecord(modelTopology)) throw notAModel(file, 'it has no "modelTopology"');
  if (!isRecord(userDefinedMetadata)) throw notAModel(file, 'its "userDefinedMetadata" is not an object');
  if (!isRecord(signature)) throw notAModel(file, 'its "signature" is not an object');
  const texts = Object.entries(userDefinedMetadata).filter((entry): entry is [string, string] => {
    return typeof entry[1] === 'string';
  });
  return {
    metadata: new Map(texts),
    inputs: valueInfos(file, 'inputs', signature.inputs),
    outputs: valueInfos(file, 'outputs', signature.outputs),
    files: [file, ...weightPaths(file, weightsManifest).map((path) => join(dirname(file), path))],
  };
}

type Json = Readonly<Record<string, unknown>>;

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parse(file: string): Json {
  const source = fileBytes(file);
  try {
    if (source.length > LARGEST_MODEL_JSON) {
      throw notAModel(file, `it has ${source.length} bytes, more than the nodes of any graph need`);
    }
    const parsed: unknown = JSON.parse(new TextDecoder().decode(source.read(0, source.length)));
    if (isRecord(parsed)) return parsed;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  } finally {
    source.close();
  }
  throw notAModel(file, 'it does not hold a JSON object');
}

function weightPaths(file: string, manifest: unknown): string[] {
  const groups: unknown[] = Array.isArray(manifest) ? manifest : [manifest];
  return groups.flatMap((group) => {
    const paths: unknown = isRecord(group) ? group.paths : undefined;
    if (!Array.isArray(paths) || !paths.every((path) => typeof path === 'string'))
      throw notAModel(file, 'its "weightsManifest" does not name files');
    const outside = paths.find(isOutside);
    if (outside !== undefined) throw notAModel(file, `its weights are said to lie in ${quote(outside)}, not beside it`);
    return paths;
  });
}

function isOutside(path: string): boolean {
  return posix.isAbsolute(path) || win32.parse(path).root !== '' || path.split(/[\\/]/).includes('..');
}

function valueInfos(file: string, role: string, entries: unknown = {}): TfjsValueInfo[] {
  if (!isRecord(entries)) throw notAModel(file, `the "${role}" of its signature are not an object`);
  return Object.entries(entries).map(([name, entry]) => {
    const where = `${quote(name)} among the "${role}" of its signature`;
    if (!isRecord(entry) || typeof entry.dtype !== 'string') throw notAModel(file, `${where} has no "dtype"`);
    return { name, dtype: entry.dtype, shape: shapeFrom(file, where, entry.tensorShape) };
  });
}

function shapeFrom(file: string, where: string, shape: unknown): TfjsValueInfo['shape'] {
  if (!isRecord(shape) || shape.unknownRank === true) return null;
  const { dim = [] } = shape;
  if (!Array.isArray(dim) || dim.length > MOST_AXES) throw notAModel(file, `${where} has no list of sizes`);
  return dim.map((entry: unknown) => {
    const size = isRecord(entry) ? Number(entry.size ?? 0) : Number.NaN;
    if (!Number.isSafeInteger(size) || size < -1) throw notAModel(file, `${where} has a size that is no whole number`);
    return size === -1 ? null : size;
  });
}

/** Enough of a value to recognize it by. */
function quote(value: unknown): string {
  const shown = typeof value === 'string' ? JSON.stringify(value) : typeof value;
  return shown.length <= 60 ? shown : `${shown.slice(0, 60)}…`;
}
