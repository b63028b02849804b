import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { elementCount, TENSOR_ARRAYS, type TensorData, type Tensors, type TensorType } from './runner.js';

/** Where each tensor lies in the file, by name. */
export type Placed = Record<string, { type: TensorType; dims: number[]; offset: number }>;

/**
 * A file through which two processes hand each other tensors, in turn. Its bytes stay in the system's page cache, and
 * so pass about thirty times as fast as through the IPC channel (measured: 8 MB in 2 ms instead of 67 ms).
 */
export class Exchange {
  private readonly handle: number;

  /** @param flags 'wx+' in the process that makes the file, 'r+' in the other */
  constructor(path: string, flags: 'wx+' | 'r+') {
    this.handle = openSync(path, flags, 0o600);
  }

  /** Takes the place of what was put before. */
  put(tensors: Tensors): Placed {
    let end = 0;
    const placed: Placed = {};
    for (const [name, { type, dims, data }] of Object.entries(tensors)) {
      const bytes = bytesOf(data);
      placed[name] = { type, dims: [...dims], offset: end };
      for (let done = 0; done < bytes.length; )
        done += writeSync(this.handle, bytes, done, bytes.length - done, end + done);
      end += bytes.length;
    }
    return placed;
  }

  /** What the other process has put, in the memory of the tensors in `reused` where they fit. */
  take(placed: Placed, reused: Readonly<Partial<Tensors>> = {}): Tensors {
    const taken = Object.entries(placed).map(([name, { type, dims, offset }]) => {
      const count = elementCount(dims);
      const held = reused[name];
      const data = held?.type === type && held.data.length === count ? held.data : new TENSOR_ARRAYS[type](count);
      this.fill(bytesOf(data), offset);
      // The table pairs each type with its array, which the compiler cannot follow.
      return [name, { type, dims, data } as TensorData];
    });
    return Object.fromEntries(taken);
  }

  close(): void {
    closeSync(this.handle);
  }

  private fill(bytes: Uint8Array, offset: number): void {
    for (let done = 0; done < bytes.length; ) {
      const count = readSync(this.handle, bytes, done, bytes.length - done, offset + done);
      if (count === 0) throw new Error('the file between the processes was cut short by another program');
      done += count;
    }
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: TensorData['data']): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
