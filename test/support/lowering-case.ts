import { GraphBuilder } from '../../src/ir/builder.js';
import type { Attributes, Graph } from '../../src/ir/graph.js';
import { Tensor } from '../../src/ir/tensor.js';
import type { DataType } from '../../src/ir/types.js';
import { createRandom } from '../../src/math/random.js';
import { codeOfDataType } from '../../src/ops/data-type.js';
import { semantics } from '../../src/ops/index.js';

/** A small graph that an exporter must say right. */
export interface LoweringCase {
  readonly name: string;
  /** Adds its nodes; gives the values that are compared. */
  make(net: CaseNet): string | readonly string[];
  /** The same in other operators, where ONNX Runtime has no kernel. */
  readonly reference?: (net: CaseNet) => string;
}

/** Builds the graph of many cases. Each has inputs of its own, so that the layout of one is not for another to say. */
export class CaseNet {
  private readonly builder = new GraphBuilder(semantics);
  private readonly random = createRandom(11);
  private inputs = new Map<string, string>();
  private cases = 0;

  /** From here on inputs are those of another case. */
  startCase(): void {
    this.cases++;
    this.inputs = new Map();
  }

  /** Normal numbers; `number` tells inputs of one shape apart. */
  input(shape: readonly number[], number = 0): string {
    const key = `x${number}_${shape.join('x')}`;
    const known = this.inputs.get(key);
    if (known !== undefined) return known;
    const made = this.builder.input(`case${this.cases}_${key}`, { dtype: 'f32', shape });
    this.inputs.set(key, made);
    return made;
  }

  op(op: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.builder.apply(op, inputs, attributes);
  }

  /** A node with several results. */
  ops(op: string, inputs: readonly string[], count: number, attributes: Attributes = {}): string[] {
    const outputs = Array.from({ length: count }, (_, i) => this.builder.fresh(`${op.toLowerCase()}_part${i}`));
    return [...this.builder.add({ op, name: outputs[0], inputs, outputs, attributes })];
  }

  constant(tensor: Tensor): string {
    return this.builder.constant(this.builder.fresh('c'), tensor);
  }

  normal(...shape: number[]): string {
    const count = shape.reduce((product, size) => product * size, 1);
    return this.floats(
      Array.from({ length: count }, () => this.random.normal()),
      shape,
    );
  }

  floats(values: readonly number[], shape: readonly number[] = [values.length]): string {
    return this.constant(Tensor.floats(values, shape));
  }

  scalar(value: number): string {
    return this.floats([value], []);
  }

  integers(values: readonly number[], shape: readonly number[] = [values.length]): string {
    return this.constant(Tensor.integers(values, shape));
  }

  cast(x: string, to: DataType): string {
    return this.op('Cast', [x], { to: codeOfDataType(to) });
  }

  /** Whole numbers of about −4 to 4. */
  whole(x: string, dtype: DataType = 'i32'): string {
    return this.cast(this.op('Mul', [x, this.scalar(2)]), dtype);
  }

  /** At least a tenth. */
  positive(x: string): string {
    return this.op('Add', [this.op('Abs', [x]), this.scalar(0.1)]);
  }

  /** True for about a half. */
  truth(x: string): string {
    return this.op('Greater', [x, this.scalar(0)]);
  }

  shape(value: string): readonly number[] {
    return this.builder.type(value).shape as readonly number[];
  }

  /** Runtimes differ in the types that outputs may have, so all become singles. */
  singles(values: readonly string[]): string[] {
    return values.map((value) => (this.builder.type(value).dtype === 'f32' ? value : this.cast(value, 'f32')));
  }

  build(outputs: readonly string[]): Graph {
    return this.builder.build(outputs);
  }
}

/** Many cases in one graph: which of its outputs each of them gives, and the graph that says what they should be. */
export function graphOfCases(cases: readonly LoweringCase[]) {
  const places: number[][] = [];
  const built = (makeOf: (one: LoweringCase) => LoweringCase['make']): Graph => {
    const net = new CaseNet();
    const outputs: string[] = [];
    for (const [i, one] of cases.entries()) {
      net.startCase();
      const made = net.singles([makeOf(one)(net)].flat());
      // An output has one name: what another case gives already, or an input, is given once more.
      places[i] = made.map((value) => outputs.push(net.op('Identity', [value])) - 1);
    }
    return net.build(outputs);
  };
  const graph = built(({ make }) => make);
  const isOther = cases.some(({ reference }) => reference);
  return { graph, reference: isOther ? built(({ make, reference }) => reference ?? make) : graph, places };
}

/** A node on inputs of these shapes, with constants after them. */
export function on(
  op: string,
  shapes: readonly (readonly number[])[],
  constants: (net: CaseNet) => readonly string[] = () => [],
  attributes: Attributes = {},
): LoweringCase {
  const stated = Object.entries(attributes).map(([name, value]) => ` ${name} ${value}`);
  const name = `${op} ${shapes.map((shape) => `[${shape}]`).join(', ')}${stated.join('')}`;
  return {
    name,
    make: (net) => net.op(op, [...shapes.map((shape, i) => net.input(shape, i)), ...constants(net)], attributes),
  };
}

export function named(name: string, make: LoweringCase['make'], reference?: LoweringCase['reference']): LoweringCase {
  return { name, make, ...(reference && { reference }) };
}
