import { operators } from '../../../ops/index.js';
import { type Lift, unchanged } from './lifting.js';
import { batchNormalizationBefore14, groupNormalizationPerGroup } from './norm.js';
import { clipWithAttributes, dropoutWithAttribute, flattenedSoftmax, gridSampleModes } from './pointwise.js';
import { resizeByScales, resizeFrom11, upsampleWithAttribute } from './resize.js';
import {
  axesWithAttribute,
  padWithAttributes,
  sliceWithAttributes,
  splitWithAttribute,
  splitWithoutCount,
} from './shape.js';

export const OLDEST_OPSET = 7;
export const NEWEST_OPSET = 23;

/** Rules by operator and by the version from which they hold; operators that are not here have not changed since 7. */
const RULES: Readonly<Record<string, Readonly<Record<number, Lift>>>> = {
  BatchNormalization: { 7: batchNormalizationBefore14, 14: unchanged },
  Clip: { 6: clipWithAttributes, 11: unchanged },
  Dropout: { 7: dropoutWithAttribute(false), 10: dropoutWithAttribute(true), 12: unchanged },
  GridSample: { 16: gridSampleModes, 20: unchanged },
  GroupNormalization: { 18: groupNormalizationPerGroup, 21: unchanged },
  LogSoftmax: { 1: flattenedSoftmax, 13: unchanged },
  Pad: { 2: padWithAttributes, 11: unchanged },
  ReduceL2: { 1: axesWithAttribute, 18: unchanged },
  ReduceMax: { 1: axesWithAttribute, 18: unchanged },
  ReduceMean: { 1: axesWithAttribute, 18: unchanged },
  ReduceMin: { 1: axesWithAttribute, 18: unchanged },
  ReduceProd: { 1: axesWithAttribute, 18: unchanged },
  ReduceSum: { 1: axesWithAttribute, 13: unchanged },
  Resize: { 10: resizeByScales, 11: resizeFrom11 },
  Slice: { 1: sliceWithAttributes, 10: unchanged },
  Softmax: { 1: flattenedSoftmax, 13: unchanged },
  Split: { 2: splitWithAttribute, 13: splitWithoutCount, 18: unchanged },
  Squeeze: { 1: axesWithAttribute, 13: unchanged },
  Unsqueeze: { 1: axesWithAttribute, 13: unchanged },
  Upsample: { 7: upsampleWithAttribute, 9: resizeByScales },
};

/** The rule for an operator of the standard domain at a version of it; undefined where it has no meaning here. */
export function ruleFor(op: string, opset: number): Lift | undefined {
  const versions = RULES[op];
  if (!versions) return operators.has(op) ? unchanged : undefined;
  const since = Object.keys(versions)
    .map(Number)
    .filter((version) => version <= opset);
  return since.length > 0 ? versions[Math.max(...since)] : undefined;
}
