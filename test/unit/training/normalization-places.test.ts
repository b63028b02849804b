import { describe, expect, it } from 'vitest';
import type { Graph } from '../../../src/ir/graph.js';
import { semantics } from '../../../src/ops/index.js';
import { normalizationSites, restoreNormalization } from '../../../src/training/normalization.js';
import { patterns } from '../../support/patterns.js';
import { Net } from '../../support/patterns-net.js';
import { largestDifference, runGraph } from '../../support/run-graph.js';
import { countOf } from '../../support/run-pass.js';

function behindNormalizations(graph: Graph): string[] {
  return graph.nodes.flatMap(({ op, outputs }) => (op === 'BatchNormalization' ? outputs : []));
}

describe('the places of normalization', () => {
  function placesOf(build: (net: Net) => string | string[], spatial: readonly number[] = [12, 12]): string[] {
    const net = new Net('places', 9);
    net.input([2, 4, ...spatial]);
    const outputs = [build(net)].flat();
    return behindNormalizations(restoreNormalization(net.build(...outputs), semantics).graph);
  }
  const head = (net: Net, x: string) => net.sigmoid(net.conv(x, 1, { kernel: 1 }));

  it('nothing is restored where nothing was folded', () => {
    const graph = patterns.find(({ name }) => name === 'unet')!.make();
    const { graph: restored, sites } = restoreNormalization(graph, semantics);
    expect(sites).toEqual([]);
    expect(restored.nodes).toEqual(graph.nodes);
    expect(normalizationSites(restored)).toHaveLength(10);
  });

  it('not behind a head, whatever activation it has', () => {
    expect(placesOf((net) => [head(net, net.relu(net.conv('x', 4))), net.relu(net.conv('x', 2))])).toEqual(['conv1']);
  });

  it('behind a transposed convolution that an activation reads', () => {
    expect(placesOf((net) => head(net, net.relu(net.up('x', 4))))).toEqual(['up1']);
  });

  it('behind the Add that gives a convolution its bias, in whose place it stands', async () => {
    const net = new Net('biased', 9);
    net.input([2, 4, 8, 8]);
    const x = net.conv('x', 6, { bias: true });
    const graph = net.build(head(net, net.relu(net.add(net.perChannel(x, 'more'), x))));
    const { graph: restored, sites } = restoreNormalization(graph, semantics);
    expect(behindNormalizations(restored)).toEqual(['add1']);
    expect(countOf(restored, 'Add')).toBe(0);
    expect(restored.producer(sites[0].value)?.inputs).toEqual(['x', 'conv1.weight']);
    const [own, more] = ['conv1.bias', 'more1'].map((name) => graph.constants.get(name)!.toFloat64());
    expect(restored.constants.get(sites[0].bias)!.toFloat64()).toEqual(
      Float64Array.from(own, (value, c) => Math.fround(value + more[c])),
    );
    expect(largestDifference(await runGraph(graph), await runGraph(restored))).toBeLessThan(1e-6);
  });

  it('with x·sigmoid(x) as the activation', () => {
    const silu = (net: Net, x: string) => net.op('Mul', [net.sigmoid(x), x]);
    expect(placesOf((net) => head(net, silu(net, net.conv('x', 4))))).toEqual(['conv1']);
  });

  it('not where something else reads the value too', () => {
    expect(
      placesOf((net) => {
        const x = net.conv('x', 4);
        return head(net, net.op('Mul', [net.relu(x), net.conv(x, 4)]));
      }),
    ).toEqual([]);
  });

  it('not where a normalization stands before the convolution or behind the activation', () => {
    expect(placesOf((net) => head(net, net.relu(net.conv(net.instanceNorm(net.maxPool('x')), 4))))).toEqual([]);
    expect(placesOf((net) => head(net, net.instanceNorm(net.relu(net.conv('x', 4)))))).toEqual([]);
    expect(placesOf((net) => head(net, net.relu(net.conv(net.relu(net.instanceNorm(net.maxPool('x'))), 4))))).toEqual([
      'conv1',
    ]);
    expect(placesOf((net) => head(net, net.relu(net.conv(net.instanceNorm('x'), 4))))).toEqual(['conv1']);
  });

  it('not in squeeze-and-excitation, whose maps have one position', () => {
    expect(
      placesOf((net) => {
        const x = net.relu(net.conv('x', 8));
        const gate = net.sigmoid(net.conv(net.relu(net.conv(net.op('GlobalAveragePool', [x]), 4)), 8));
        return head(net, net.op('Mul', [x, gate]));
      }),
    ).toEqual(['conv1']);
  });

  it('not where two convolutions share a weight', () => {
    expect(
      placesOf((net) => {
        const shared = { weight: 'shared' };
        return head(net, net.relu(net.conv(net.relu(net.conv('x', 4, shared)), 4, shared)));
      }),
    ).toEqual([]);
  });
});
