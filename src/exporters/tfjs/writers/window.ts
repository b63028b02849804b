import { integers, text } from '../../../formats/tfjs/model.js';
import type { Writer } from '../graph-writer.js';
import { fromSingles } from './convert.js';

const pool2d: Writer<'pool2d'> = ({ inputs: [x], function: name, window, strides, padding }, graph) => ({
  op: name === 'max' ? 'MaxPool' : 'AvgPool',
  inputs: [graph.read(x)],
  attributes: {
    ksize: integers([1, ...window, 1]),
    strides: integers([1, ...strides, 1]),
    padding: text(padding.toUpperCase()),
    data_format: text('NHWC'),
  },
});

const resize2d: Writer<'resize2d'> = (operation, graph) => {
  const { inputs, output, method, size, alignCorners, halfPixelCenters } = operation;
  const call = {
    op: method === 'nearest' ? 'ResizeNearestNeighbor' : 'ResizeBilinear',
    inputs: [graph.read(inputs[0]), graph.integers(`${output}/size`, size)],
    attributes: { align_corners: { b: alignCorners }, half_pixel_centers: { b: halfPixelCenters } },
  };
  return fromSingles(call, graph.type(output), output, graph);
};

export const windowWriters = { pool2d, resize2d };
