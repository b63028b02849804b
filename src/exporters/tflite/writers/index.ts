import type { OperationKind } from '../../lowering/operations.js';
import type { Writer } from '../graph-writer.js';
import { arrangeWriters } from './arrange.js';
import { convolutionWriters } from './convolution.js';
import { elementWriters } from './elements.js';
import { reduceWriters } from './reduce.js';

/** How every kind of operation is said in TFLite. */
export const WRITERS = {
  ...arrangeWriters,
  ...convolutionWriters,
  ...elementWriters,
  ...reduceWriters,
} satisfies { [K in OperationKind]: Writer<K> };
