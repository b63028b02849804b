import type { ByteSource, Range } from '../../formats/bytes.js';
import type { RawField } from '../../formats/onnx/origin.js';
import { WireReader } from '../../formats/onnx/wire.js';

/** The fields in some stretches of a file, each stretch one or more whole fields of a message. */
export function rawFields(source: ByteSource, file: string, stretches: readonly Range[]): RawField[] {
  const fields: RawField[] = [];
  const reader = new WireReader(source, file);
  for (const stretch of stretches) {
    reader.walk(stretch, ({ number, whole }) => {
      fields.push({ number, encoded: source.slice(whole.start, whole.length) });
      return true;
    });
  }
  return fields;
}
