/**
 * Compresses trained U-Nets: read a model into a graph, run passes over it, write it again, and compare the files.
 *
 * @example
 * const graph = load('model.onnx');
 * const { graph: small } = await compress(graph, { thin: 0.125, separable: 'depthwise' });
 * await save(small, 'small.onnx');
 * const { artifacts } = await compressFile('model.onnx', { thin: 0.125, testData: 'test/' });
 */
export { type Compressed, compress, compressFile, type Progress, validateFiles as validate } from './compress.js';
export { CompressError } from './errors.js';
export { load } from './importers/index.js';
export { Graph, type Node } from './ir/graph.js';
export { Tensor } from './ir/tensor.js';
export type { Options } from './options.js';
export * as passes from './passes/index.js';
export type { Pass, PassContext } from './passes/pass.js';
export type { ArtifactReport, ModelReport, Report } from './report/types.js';
export { save } from './save.js';
