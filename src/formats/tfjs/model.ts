import type { Part } from '../files.js';

/** The element types that TensorFlow.js computes with. */
export type TfjsType = 'float32' | 'int32' | 'bool';

/** A node attribute as the protocol buffer of a TensorFlow graph has it in JSON; texts are base64. */
export type TfjsAttribute =
  | { readonly type: string }
  | { readonly s: string }
  | { readonly i: string }
  | { readonly f: number }
  | { readonly b: boolean }
  | { readonly shape: TfjsShape }
  | { readonly list: { readonly i: readonly string[] } | { readonly s: readonly string[] } };

interface TfjsShape {
  readonly dim: readonly { readonly size: string }[];
}

export type TfjsAttributes = Readonly<Record<string, TfjsAttribute>>;

export interface TfjsNode {
  readonly name: string;
  readonly op: string;
  readonly input?: readonly string[];
  readonly attr?: TfjsAttributes;
}

/** The values of the `Const` node of the same name. */
export interface TfjsWeight {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: TfjsType;
  /** Whether singles are stored as halves. */
  readonly isHalf?: boolean;
  /** Little-endian elements in row order. */
  readonly data: Part;
}

/** An input or output as the signature has it. */
export interface TfjsInterface {
  readonly name: string;
  readonly node: string;
  readonly dtype: TfjsType;
  readonly shape: readonly number[];
}

export interface TfjsModel {
  /** What wrote the file. */
  readonly generatedBy: string;
  readonly inputs: readonly TfjsInterface[];
  readonly outputs: readonly TfjsInterface[];
  readonly nodes: readonly TfjsNode[];
  readonly weights: readonly TfjsWeight[];
  readonly metadata: ReadonlyMap<string, string>;
}

const DATA_TYPES = { float32: 'DT_FLOAT', int32: 'DT_INT32', bool: 'DT_BOOL' } as const;

/** TensorFlow's name of an element type. */
export function dataType(type: TfjsType): string {
  return DATA_TYPES[type];
}

export function typeAttribute(type: TfjsType): TfjsAttribute {
  return { type: dataType(type) };
}

export function text(value: string): TfjsAttribute {
  return { s: base64(value) };
}

export function texts(values: readonly string[]): TfjsAttribute {
  return { list: { s: values.map(base64) } };
}

export function integer(value: number): TfjsAttribute {
  return { i: String(value) };
}

export function integers(values: readonly number[]): TfjsAttribute {
  return { list: { i: values.map(String) } };
}

export function shapeOf(dims: readonly number[]): TfjsShape {
  return { dim: dims.map((size) => ({ size: String(size) })) };
}

function base64(value: string): string {
  return Buffer.from(value).toString('base64');
}
