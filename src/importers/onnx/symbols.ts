import type { OnnxValueInfo } from '../../formats/onnx/structures.js';
import type { Dim, ValueType } from '../../ir/types.js';
import { knownDataType } from '../../ops/data-type.js';
import { FreshNames } from './fresh-names.js';

/** Texts that exporters write where a dimension is simply not known; two of them need not be equal. */
const UNKNOWN = /^(none|null|unknown|unk_.*|\?|-1|)$/i;

/**
 * The names of dynamic dimensions. A symbol is made safe for arithmetic on dimensions, where signs and brackets mean
 * something; a dimension without a name gets one of its own.
 */
export class Symbols {
  private readonly byText = new Map<string, string>();
  /** The text in the file of each symbol; null where the file has none. */
  readonly texts = new Map<string, string | null>();
  private readonly freshNames = new FreshNames((name) => this.texts.has(name));

  /** The type that the file states for a value. */
  typeOf(info: OnnxValueInfo): ValueType {
    return {
      dtype: info.elemType === null ? null : knownDataType(info.elemType),
      shape: info.dims?.map((dim, axis) => this.dimension(info.name, axis, dim)) ?? null,
    };
  }

  private dimension(value: string, axis: number, dim: number | string | null): Dim {
    if (typeof dim === 'number') return dim;
    if (dim === null || UNKNOWN.test(dim)) return this.define(`${value}_d${axis}`, dim);
    const known = this.byText.get(dim);
    if (known !== undefined) return known;
    const symbol = this.define(dim, dim);
    this.byText.set(dim, symbol);
    return symbol;
  }

  private define(base: string, text: string | null): string {
    const safe = base.replace(/\W/g, '_').replace(/^(?=\d)/, '_');
    const symbol = this.freshNames.next(safe);
    this.texts.set(symbol, text);
    return symbol;
  }
}
