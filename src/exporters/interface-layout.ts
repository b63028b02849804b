import type { Graph } from '../ir/graph.js';

/** Where the channels of an artefact's inputs and outputs stand. */
export type InterfaceLayout = 'nhwc' | 'nchw';

/**
 * The inputs and outputs whose axes an artefact of that layout has in another order than the model: channels first in
 * the model, last in the artefact. Those that the model itself has channels last stay as they are.
 */
export function movedInterface(graph: Graph, layout: InterfaceLayout): string[] {
  if (layout === 'nchw') return [];
  return [...graph.inputs, ...graph.outputs].filter((value) => {
    const shape = graph.type(value).shape ?? [];
    return shape.length > 2 && !hasChannelsLast(shape.map(Number));
  });
}

/** At most four channels at the end, and more elements along all axes before them. */
function hasChannelsLast([, ...rest]: readonly number[]): boolean {
  const channels = rest[rest.length - 1];
  return channels <= 4 && rest.slice(0, -1).every((extent) => extent > 4);
}
