import { FlatTable } from '../formats/flat-table.js';
import { CUSTOM_OPERATOR, operatorName } from '../formats/tflite/operators.js';

/** One operator of a TFLite file as a model of its own. */
export interface CutOperator {
  /** Operators have no names: that of the first tensor that it makes. */
  readonly node: string;
  readonly op: string;
  /** The model; the next one that is cut takes its place in the same memory. */
  readonly bytes: Uint8Array;
}

/**
 * Cuts the first graph of a TFLite file into models of one operator each, in the order of the file. Operators that make
 * constants of constants, such as DEQUANTIZE of weights, are cut together with those they feed.
 *
 * @throws Error when the structure of the file makes no sense
 */
export function* cutOperators(file: Uint8Array): Generator<CutOperator> {
  try {
    const graph = readGraph(file);
    const cut = cutter(file, graph);
    for (const operator of graph.operators) if (!operator.isConstant) yield cut(operator);
  } catch (error) {
    if (error instanceof RangeError) throw new Error('its structure leads outside of the file', { cause: error });
    throw error;
  }
}

// The places of fields in the tables of the TFLite schema.
const MODEL = { operatorCodes: 1, subgraphs: 2, buffers: 4, signatures: 7 };
const OPERATOR_CODE = { oldCode: 0, customName: 1, code: 3 };
const GRAPH = { tensors: 0, inputs: 1, outputs: 2, operators: 3 };
const TENSOR = { buffer: 2, name: 3, isVariable: 5 };
const BUFFER = { data: 0, size: 2 };
const OPERATOR = { code: 0, inputs: 1, outputs: 2 };

interface Operator {
  readonly index: number;
  readonly at: number;
  readonly op: string;
  readonly node: string;
  /** Tensors that are neither constant nor a state of the operator's own. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  /** The operators that make its constant inputs of constants. */
  readonly feeders: readonly Operator[];
  /** All that it takes is constant. */
  readonly isConstant: boolean;
}

interface Graph {
  readonly operators: readonly Operator[];
  /** Where the list of operators has its first element. */
  readonly list: number;
  /** Where the references to lists lie that a cut replaces. */
  readonly inputs: number;
  readonly outputs: number;
  readonly signatures: number | null;
}

function readGraph(file: Uint8Array): Graph {
  const model = FlatTable.root(new DataView(file.buffer, file.byteOffset, file.length));
  const [graph] = model.tables(MODEL.subgraphs);
  const [inputs, outputs] = [graph?.field(GRAPH.inputs), graph?.field(GRAPH.outputs)];
  if (graph === undefined || inputs == null || outputs == null)
    throw new Error('it has no graph from inputs to outputs');
  return {
    operators: readOperators(model, graph),
    list: graph.vector(GRAPH.operators, 4).start,
    inputs,
    outputs,
    signatures: model.field(MODEL.signatures),
  };
}

function readOperators(model: FlatTable, graph: FlatTable): Operator[] {
  const names = model.tables(MODEL.operatorCodes).map(nameOf);
  const hasData = model
    .tables(MODEL.buffers)
    .map((buffer) => buffer.vector(BUFFER.data, 1).length > 0 || buffer.field(BUFFER.size) !== null);
  const tensors = graph.tables(GRAPH.tensors).map((tensor) => ({
    name: tensor.text(TENSOR.name),
    isConstant: hasData[tensor.value(TENSOR.buffer, unsigned, 0)] ?? false,
    isVariable: tensor.value(TENSOR.isVariable, (view, at) => view.getUint8(at), 0) !== 0,
  }));
  const makers = new Map<number, Operator>();
  const isConstant = (tensor: number) => tensors[tensor].isConstant || makers.has(tensor);
  return graph.tables(GRAPH.operators).map((table, index) => {
    const name = names[table.value(OPERATOR.code, unsigned, 0)];
    const [given, outputs] = [OPERATOR.inputs, OPERATOR.outputs].map((slot) =>
      table.integers(slot).filter((tensor) => tensor !== LEFT_OUT),
    );
    if (name === undefined || [...given, ...outputs].some((tensor) => tensors[tensor] === undefined)) {
      throw new Error(`its operator ${index} names what is not there`);
    }
    const operator: Operator = {
      index,
      at: table.at,
      op: name,
      node: tensors[outputs[0]]?.name ?? '',
      inputs: [...new Set(given)].filter((tensor) => !isConstant(tensor) && !tensors[tensor].isVariable),
      outputs,
      feeders: given.flatMap((tensor) => makers.get(tensor) ?? []),
      isConstant: given.every(isConstant),
    };
    if (operator.isConstant) for (const tensor of outputs) makers.set(tensor, operator);
    return operator;
  });
}

/** Stands for an optional input that an operator is not given. */
const LEFT_OUT = -1;

function unsigned(view: DataView, at: number): number {
  return view.getUint32(at, true);
}

/** Codes outgrew a byte; old files have only the byte, and new ones have 127 there for what it cannot hold. */
function nameOf(code: FlatTable): string {
  const oldCode = code.value(OPERATOR_CODE.oldCode, (view, at) => view.getInt8(at), 0);
  const newCode = code.value(OPERATOR_CODE.code, (view, at) => view.getInt32(at, true), 0);
  const number = Math.max(oldCode, newCode);
  return number === CUSTOM_OPERATOR ? code.text(OPERATOR_CODE.customName) : operatorName(number);
}

/**
 * Makes models in one copy of the file. Nothing is taken out: the graph's list of operators is overwritten to name fewer,
 * and its lists of inputs and outputs are written behind the end, as references in the format lead forward only.
 */
function cutter(file: Uint8Array, graph: Graph): (operator: Operator) => CutOperator {
  const end = Math.ceil(file.length / 4) * 4;
  const longest = graph.operators.reduce(
    (most, { inputs, outputs }) => Math.max(most, inputs.length + outputs.length),
    0,
  );
  const copy = new Uint8Array(end + 4 * (longest + 3));
  copy.set(file);
  const view = new DataView(copy.buffer);

  const refer = (from: number, to: number) => {
    if (to <= from) throw new Error('its operators lie before the list of them');
    view.setUint32(from, to - from, true);
  };
  return (operator) => {
    const operators = withFeeders(operator);
    view.setUint32(graph.list - 4, operators.length, true);
    for (const [place, { at }] of operators.entries()) refer(graph.list + 4 * place, at);

    let tail = end;
    const append = (reference: number, integers: readonly number[]) => {
      refer(reference, tail);
      for (const integer of [integers.length, ...integers]) {
        view.setUint32(tail, integer, true);
        tail += 4;
      }
    };
    append(graph.inputs, operator.inputs);
    append(graph.outputs, operator.outputs);
    // Signatures name the inputs and outputs of the whole graph.
    if (graph.signatures !== null) append(graph.signatures, []);
    return { node: operator.node, op: operator.op, bytes: copy.subarray(0, tail) };
  };
}

/** The operator and all that make constants for it, in their order in the file. */
function withFeeders(operator: Operator): Operator[] {
  const found = new Set([operator]);
  for (const { feeders } of found) for (const feeder of feeders) found.add(feeder);
  return [...found].sort((a, b) => a.index - b.index);
}
