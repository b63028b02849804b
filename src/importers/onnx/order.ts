import { notAModel } from '../../errors.js';
import type { OnnxNode } from '../../formats/onnx/structures.js';

/** How a node is called in messages. */
export function describeNode({ name, opType, outputs }: OnnxNode): string {
  return `${opType} node '${name || outputs.find((output) => output !== '') || ''}'`;
}

/**
 * The nodes in an order in which each value is made before it is read; their own order where it is one already.
 *
 * @param given values that are there before any node
 * @throws CompressError when two nodes make one value, nothing makes a value, or nodes wait for each other
 */
export function inOrder<N extends { readonly node: OnnxNode }>(
  items: readonly N[],
  given: ReadonlySet<string>,
  file: string,
): N[] {
  const makers = makersOf(items, given, file);
  const ordered: N[] = [];
  const state = new Map<N, 'waiting' | 'done'>();
  for (const start of items) {
    const stack = [start];
    while (stack.length > 0) {
      const item = stack[stack.length - 1];
      if (state.get(item) === 'done') {
        stack.pop();
        continue;
      }
      const missing = missingMakers(item, makers, given, file).filter((maker) => state.get(maker) !== 'done');
      if (missing.length === 0) {
        state.set(item, 'done');
        ordered.push(item);
        stack.pop();
      } else {
        const waiting = missing.find((maker) => state.get(maker) === 'waiting' || maker === item);
        if (waiting) throw notAModel(file, `${describeNode(waiting.node)} waits for its own result`);
        state.set(item, 'waiting');
        stack.push(...missing.reverse());
      }
    }
  }
  return ordered;
}

function makersOf<N extends { readonly node: OnnxNode }>(
  items: readonly N[],
  given: ReadonlySet<string>,
  file: string,
): Map<string, N> {
  const makers = new Map<string, N>();
  for (const item of items) {
    for (const output of item.node.outputs) {
      if (output === '') continue;
      if (makers.has(output) || given.has(output))
        throw notAModel(file, `${describeNode(item.node)} makes '${output}', which something else makes too`);
      makers.set(output, item);
    }
  }
  return makers;
}

function missingMakers<N extends { readonly node: OnnxNode }>(
  { node }: N,
  makers: ReadonlyMap<string, N>,
  given: ReadonlySet<string>,
  file: string,
): N[] {
  const found = new Set<N>();
  for (const input of [...node.inputs, ...node.implicitInputs]) {
    if (input === '' || given.has(input)) continue;
    const maker = makers.get(input);
    if (!maker) throw notAModel(file, `${describeNode(node)} reads '${input}', which nothing makes`);
    found.add(maker);
  }
  return [...found];
}
