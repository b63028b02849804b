import { explicitPads, type Window } from '../../ops/window.js';
import type { NodeLowering } from './node-lowering.js';

/** Elements beside the input on each spatial axis. */
export interface Pads {
  readonly begin: readonly number[];
  readonly end: readonly number[];
}

/**
 * The pads that windows touch when the output has these sizes: behind the input that may be less than the node says
 * (the last stride does not reach it), or more (a pool that rounds up).
 */
export function touchedPads(window: Window, spatial: readonly number[], output: readonly number[]): Pads {
  const { begin } = explicitPads(window, spatial);
  const end = spatial.map((size, axis) => {
    const touched = (output[axis] - 1) * window.strides[axis] + reachOf(window, axis) - begin[axis];
    // Elements that no window touches need not be cut away.
    return Math.max(0, touched - size);
  });
  return { begin, end };
}

/** Whether TensorFlow's rule for `same`, which puts the odd element behind, gives these pads. */
export function arePadsOfSame(window: Window, spatial: readonly number[], { begin, end }: Pads): boolean {
  const same = explicitPads({ ...window, autoPad: 'SAME_UPPER' }, spatial);
  return begin.join() === same.begin.join() && end.join() === same.end.join();
}

/** Whether the output has the size that `same` gives it. */
export function isSizeOfSame(window: Window, spatial: readonly number[], output: readonly number[]): boolean {
  return output.every((size, axis) => size === Math.ceil(spatial[axis] / window.strides[axis]));
}

/** How far the window reaches on one axis, holes of the dilation included. */
function reachOf(window: Window, axis: number): number {
  return (window.kernel[axis] - 1) * window.dilations[axis] + 1;
}

/** Runs what slides over two axes on a value with one, which gets an axis of extent 1 for the time. */
export function twoDimensional(
  node: NodeLowering,
  x: string,
  window: Window,
  slide: (x: string, window: Window) => string,
): string {
  if (window.kernel.length !== 1) return slide(x, window);
  const [batch, length, channels] = node.shapeOf(x);
  const y = slide(node.reshape(x, [batch, 1, length, channels]), widenedWindow(window));
  const made = node.shapeOf(y);
  return node.reshape(y, [made[0], made[2], made[3]]);
}

/** A 1-D window as a 2-D one that does nothing on its first axis. */
export function widenedWindow(window: Window): Window {
  return {
    kernel: [1, ...window.kernel],
    strides: [1, ...window.strides],
    dilations: [1, ...window.dilations],
    padsBegin: [0, ...window.padsBegin],
    padsEnd: [0, ...window.padsEnd],
    autoPad: window.autoPad,
  };
}
