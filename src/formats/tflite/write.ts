import { tfliteTooLarge } from '../../errors.js';
import { joinParts, type Part, totalLength, writeAtomically } from '../files.js';
import { FlatBuilder } from '../flat-builder.js';
import { FlatTable } from '../flat-table.js';
import type { TfliteInterface, TfliteModel, TfliteOperator } from './model.js';
import { operatorCode } from './operators.js';
import {
  BUFFER,
  FILE_IDENTIFIER,
  METADATA,
  MODEL,
  OPERATOR,
  OPERATOR_CODE,
  SCHEMA_VERSION,
  SIGNATURE,
  SIGNATURE_ENTRY,
  SUBGRAPH,
  TENSOR,
  TENSOR_TYPES,
} from './schema.js';

/** Weights begin at multiples of this, as kernels that read them in place want it. */
const ALIGNMENT = 16;

/** References in the file have 32 bits, and readers take them with a sign. */
const LARGEST_FILE = 2 ** 31 - 1;

/** Codes from here on do not fit the field that older readers look at. */
const LARGEST_OLD_CODE = 127;

/**
 * Writes a TFLite file, whole or not at all. Weights go through memory one piece at a time.
 * @throws CompressError when the file cannot be written, or would be larger than the format allows
 */
export async function writeTflite(path: string, model: TfliteModel): Promise<string[]> {
  const parts = partsOf(model);
  await writeAtomically(path, async (sink) => {
    for (const part of parts) await sink.write(part);
  });
  return [path];
}

/** The bytes of the file. */
export function encodeTflite(model: TfliteModel): Uint8Array {
  return joinParts(partsOf(model));
}

/** How many bytes the file has. */
export function sizeOfTfliteModel(model: TfliteModel): number {
  return totalLength(partsOf(model));
}

/**
 * The structure first, as a small file with empty buffers, then what the buffers hold: references point forward only,
 * so those of the buffers are set to where the weights will lie.
 */
function partsOf(model: TfliteModel): Part[] {
  const contents = contentsOf(model);
  const structure = structureOf(model);
  const view = new DataView(structure.buffer, structure.byteOffset, structure.byteLength);
  const buffers = FlatTable.root(view).tables(MODEL.buffers);
  const parts: Part[] = [structure];
  let end = structure.length;
  for (const [i, content] of contents.entries()) {
    // The length, of four bytes, stands before the first byte.
    const gap = padding(end + 4);
    const field = buffers[i + 1].field(BUFFER.data) as number;
    if (end + gap + 4 + content.length > LARGEST_FILE) throw tfliteTooLarge(totalLength(contents));
    view.setUint32(field, end + gap - field, true);
    parts.push(new Uint8Array(gap), lengthOf(content), content);
    end += gap + 4 + content.length;
  }
  return parts;
}

function padding(position: number): number {
  return (ALIGNMENT - (position % ALIGNMENT)) % ALIGNMENT;
}

function lengthOf({ length }: Part): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, length, true);
  return bytes;
}

/** What buffers 1, 2, … hold; buffer 0 stands for "no data". */
function contentsOf({ tensors, metadata }: TfliteModel): Part[] {
  return [...tensors.flatMap(({ data }) => (data ? [data] : [])), ...metadata.values()];
}

function structureOf(model: TfliteModel): Uint8Array {
  const builder = new FlatBuilder();
  const { tensors, operators, inputs, outputs, metadata } = model;
  const constants = tensors.filter(({ data }) => data !== undefined);
  const buffers = [builder.table([])];
  for (let i = 0; i < constants.length + metadata.size; i++)
    buffers.push(builder.table([[BUFFER.data, 'offset', builder.noBytes()]]));
  const bufferOf = new Map(constants.map((tensor, i) => [tensor, i + 1]));
  const tensorTables = tensors.map((tensor) =>
    builder.table([
      [TENSOR.shape, 'offset', builder.integers(tensor.shape)],
      [TENSOR.type, 'byte', TENSOR_TYPES[tensor.type]],
      [TENSOR.buffer, 'int32', bufferOf.get(tensor) ?? 0],
      [TENSOR.name, 'offset', builder.text(tensor.name)],
      [TENSOR.hasRank, 'bool', true],
    ]),
  );
  const codes = operatorCodes(operators);
  const subgraph = builder.table([
    [SUBGRAPH.tensors, 'offset', builder.offsets(tensorTables)],
    [SUBGRAPH.inputs, 'offset', builder.integers(inputs.map(({ tensor }) => tensor))],
    [SUBGRAPH.outputs, 'offset', builder.integers(outputs.map(({ tensor }) => tensor))],
    [SUBGRAPH.operators, 'offset', builder.offsets(operators.map((one) => operatorTable(builder, one, codes)))],
    [SUBGRAPH.name, 'offset', builder.text('main')],
  ]);
  const codeTables = [...codes.values()].map(({ op, version }) =>
    builder.table([
      [OPERATOR_CODE.deprecatedCode, 'byte', Math.min(operatorCode(op), LARGEST_OLD_CODE)],
      [OPERATOR_CODE.version, 'int32', version],
      [OPERATOR_CODE.code, 'int32', operatorCode(op)],
    ]),
  );
  const metadataTables = [...metadata.keys()].map((name, i) =>
    builder.table([
      [METADATA.name, 'offset', builder.text(name)],
      [METADATA.buffer, 'int32', constants.length + 1 + i],
    ]),
  );
  const root = builder.table([
    [MODEL.version, 'int32', SCHEMA_VERSION],
    [MODEL.operatorCodes, 'offset', builder.offsets(codeTables)],
    [MODEL.subgraphs, 'offset', builder.offsets([subgraph])],
    [MODEL.description, 'offset', builder.text(model.description)],
    [MODEL.buffers, 'offset', builder.offsets(buffers)],
    [MODEL.metadata, 'offset', builder.offsets(metadataTables)],
    [MODEL.signatures, 'offset', builder.offsets([signatureTable(builder, inputs, outputs)])],
  ]);
  return builder.finish(root, FILE_IDENTIFIER);
}

type OperatorCodes = ReadonlyMap<string, { readonly index: number; readonly op: string; readonly version: number }>;

/** Each operator and version once. */
function operatorCodes(operators: readonly TfliteOperator[]): OperatorCodes {
  const codes = new Map<string, { index: number; op: string; version: number }>();
  for (const { op, version } of operators) {
    const key = `${op} ${version}`;
    if (!codes.has(key)) codes.set(key, { index: codes.size, op, version });
  }
  return codes;
}

function operatorTable(
  builder: FlatBuilder,
  { op, version, inputs, outputs, options }: TfliteOperator,
  codes: OperatorCodes,
) {
  const code = codes.get(`${op} ${version}`);
  const table = options ? builder.table(options.fields) : 0;
  return builder.table([
    [OPERATOR.codeIndex, 'int32', code?.index ?? 0],
    [OPERATOR.inputs, 'offset', builder.integers(inputs)],
    [OPERATOR.outputs, 'offset', builder.integers(outputs)],
    [OPERATOR.optionsType, 'byte', options?.type ?? 0],
    [OPERATOR.options, 'offset', table],
  ]);
}

/** The names under which LiteRT's interfaces take inputs and give outputs. */
function signatureTable(builder: FlatBuilder, inputs: readonly TfliteInterface[], outputs: readonly TfliteInterface[]) {
  const entries = (list: readonly TfliteInterface[]) =>
    builder.offsets(
      list.map(({ name, tensor }) =>
        builder.table([
          [SIGNATURE_ENTRY.name, 'offset', builder.text(name)],
          [SIGNATURE_ENTRY.tensor, 'int32', tensor],
        ]),
      ),
    );
  return builder.table([
    [SIGNATURE.inputs, 'offset', entries(inputs)],
    [SIGNATURE.outputs, 'offset', entries(outputs)],
    [SIGNATURE.key, 'offset', builder.text('serving_default')],
    [SIGNATURE.subgraph, 'int32', 0],
  ]);
}
