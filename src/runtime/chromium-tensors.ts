import { TENSOR_ARRAYS, type TensorData, type Tensors } from './runner.js';

/** What is said of a tensor before the bytes of all of them. */
type Heading = Pick<TensorData, 'type' | 'dims'> & { name: string };

/** Every tensor starts at a multiple of this, which suits the arrays of all element types. */
const ALIGNMENT = 8;

/**
 * Tensors as one run of bytes, which goes between the page of a browser and the process that started it: the length of
 * the headings as 32 bits, the headings in JSON, then the elements of each tensor. Both sides are on one machine, so
 * numbers have its byte order.
 */
export function encodeTensors(tensors: Tensors): Uint8Array<ArrayBuffer> {
  const entries = Object.entries(tensors);
  const headings = entries.map(([name, { type, dims }]): Heading => ({ name, type, dims }));
  const text = new TextEncoder().encode(JSON.stringify(headings));
  let length = aligned(4 + text.length);
  const starts = entries.map(([, { data }]) => {
    const start = length;
    length = aligned(start + data.byteLength);
    return start;
  });
  const bytes = new Uint8Array(length);
  new Uint32Array(bytes.buffer, 0, 1)[0] = text.length;
  bytes.set(text, 4);
  for (const [index, [, { data }]] of entries.entries()) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), starts[index]);
  }
  return bytes;
}

/** The tensors that `encodeTensors` encoded, as views of the buffer. */
export function decodeTensors(buffer: ArrayBuffer): Tensors {
  const textLength = new Uint32Array(buffer, 0, 1)[0];
  const headings = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, textLength))) as Heading[];
  let start = aligned(4 + textLength);
  const entries = headings.map(({ name, type, dims }) => {
    const count = dims.reduce((product, size) => product * size, 1);
    const data = new TENSOR_ARRAYS[type](buffer, start, count);
    start = aligned(start + data.byteLength);
    // The table pairs each type with its array, which the compiler cannot follow.
    return [name, { type, dims, data } as TensorData];
  });
  return Object.fromEntries(entries);
}

function aligned(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT;
}
