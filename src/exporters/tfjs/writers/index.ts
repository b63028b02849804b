import type { Writer } from '../graph-writer.js';
import type { WrittenKind } from '../target.js';
import { arrangeWriters } from './arrange.js';
import { convolutionWriters } from './convolution.js';
import { elementWriters } from './elements.js';
import { matrixWriters } from './matrix.js';
import { reduceWriters } from './reduce.js';
import { windowWriters } from './window.js';

/** How every kind of operation is said. */
export const WRITERS = {
  ...convolutionWriters,
  ...windowWriters,
  ...elementWriters,
  ...arrangeWriters,
  ...reduceWriters,
  ...matrixWriters,
} satisfies { [K in WrittenKind]: Writer<K> };
