import { describe, expect, it } from 'vitest';
import { analyseChannels, type ChannelAnalysis } from '../../src/analysis/channels.js';
import { parseGraph } from '../../src/ir/parse.js';
import { semantics } from '../../src/ops/index.js';
import { patterns } from '../support/patterns.js';

function analyse(body: string): ChannelAnalysis {
  const text = `graph g(%x: f32[1,1,4,4]) {\n${body}\n}`;
  return analyseChannels(parseGraph(text, semantics, (_, __, count) => new Float32Array(count)));
}

/** A convolution from the input to `out` channels, called `name`. */
function conv(name: string, out: number): string {
  return `%${name}.w = const f32[${out},1,1,1] zeros()\n%${name} = Conv(%x, %${name}.w)\n`;
}

const HEAD = (value: string, channels: number) =>
  `%head.w = const f32[1,${channels},1,1] zeros()\n%y = Conv(%${value}, %head.w)\nreturn %y`;

/** Classes as axis lists and unit counts. */
function summary({ classes }: ChannelAnalysis): unknown[] {
  return classes.map(({ axes, units }) => [units.length, axes.map(({ value, axis }) => `${value}/${axis}`).sort()]);
}

describe('classes', () => {
  it('hold every axis on which a channel lies, with equal numbers of coordinates', () => {
    const graph = analyse(`${conv('a', 4)}%b = Relu(%a)\n%c = Concat(%a, %b) {axis=1}\n${HEAD('c', 8)}`);
    expect(summary(graph)).toEqual([[4, ['a.w/0', 'a/1', 'b/1', 'c/1', 'head.w/1']]]);
    const [{ axes, units }] = graph.classes;
    const onConcat = axes.findIndex(({ value }) => value === 'c');
    expect(units.map(({ coordinates }) => coordinates[onConcat])).toEqual([
      [0, 4],
      [1, 5],
      [2, 6],
      [3, 7],
    ]);
  });

  it('keep apart the channels of one value that go different ways', () => {
    const graph = analyse(
      `${conv('a', 6)}%b, %c = Split(%a, %sizes) {axis=1}\n%d = Relu(%c)\n%e = Concat(%b, %d) {axis=1}\n${HEAD('e', 6)}`.replace(
        '%a = ',
        '%sizes = const i64[2] {2, 4}\n%a = ',
      ),
    );
    expect(summary(graph)).toEqual([
      [2, ['a.w/0', 'a/1', 'b/1', 'e/1', 'head.w/1']],
      [4, ['a.w/0', 'a/1', 'c/1', 'd/1', 'e/1', 'head.w/1']],
    ]);
  });

  it('go through a Reshape along the axis that nothing behind it fixes', () => {
    const { classes, whyFixed } = analyse(
      `%to = const i64[4] {0, 3, 4, 16}\n%back = const i64[4] {0, 12, 4, 4}
      ${conv('a', 12)}%b = Reshape(%a, %to)\n%c = Softmax(%b) {axis=2}\n%d = Reshape(%c, %back)\n${HEAD('d', 12)}`,
    );
    expect(classes.map(({ units }) => units.length)).toEqual([3]);
    expect(whyFixed({ value: 'a', axis: 1 })).toBeUndefined();
    expect(whyFixed({ value: 'b', axis: 2 })).toBe("Softmax 'c' needs it whole");
  });

  it.each(patterns)('$name: no coordinate lies in two units, and none of an input or output in any', ({ make }) => {
    const graph = make();
    const seen = new Set<string>();
    for (const { axes, units } of analyseChannels(graph).classes)
      for (const { coordinates } of units)
        for (const [i, { value, axis }] of axes.entries()) {
          expect([...graph.inputs, ...graph.outputs]).not.toContain(value);
          for (const c of coordinates[i]) {
            const key = `${value} ${axis} ${c}`;
            expect(seen.has(key)).toBe(false);
            seen.add(key);
          }
        }
  });
});

describe('whyFixed', () => {
  it('names the nearest reason along ties', () => {
    const { whyFixed } = analyse(`${conv('a', 4)}%b = Relu(%a)\n%c = Softmax(%b) {axis=1}\n${HEAD('c', 4)}`);
    expect(whyFixed({ value: 'a', axis: 1 })).toBe("tied to 'b': Softmax 'c' needs it whole");
    expect(whyFixed({ value: 'b', axis: 1 })).toBe("Softmax 'c' needs it whole");
    expect(whyFixed({ value: 'y', axis: 1 })).toBe('it is an output of the model');
    expect(whyFixed({ value: 'x', axis: 0 })).toBe('it is an input of the model');
    expect(whyFixed({ value: 'nothing', axis: 0 })).toBe('its size is not known');
  });

  it('does not blame what other coordinates of the same axis are tied to', () => {
    const { whyFixed } = analyse(
      `${conv('a', 4)}${conv('b', 4)}%c = Concat(%b, %a, %x) {axis=1}\n%d = Relu(%b)\n%e = Tanh(%d)\n%f = Softmax(%e) {axis=1}
      %head.w = const f32[1,9,1,1] zeros()\n%y = Conv(%c, %head.w)\nreturn %y, %f`,
    );
    expect(whyFixed({ value: 'a', axis: 1 })).toBeUndefined();
    expect(whyFixed({ value: 'b', axis: 1 })).toBe("tied to 'e': Softmax 'f' needs it whole");
    expect(whyFixed({ value: 'c', axis: 1 })).toContain('needs it whole');
  });

  it('names an opaque node by what it was, and what its subgraph reads', () => {
    const { whyFixed } = analyse(
      `${conv('a', 4)}${conv('b', 4)}%c = Opaque.Loop(%a) reads(%b) : f32[1,4,4,4]\n${HEAD('c', 4)}`,
    );
    expect(whyFixed({ value: 'a', axis: 1 })).toBe("what Loop 'c' does with it is not known");
    expect(whyFixed({ value: 'b', axis: 1 })).toBe("what Loop 'c' does with it is not known");
  });

  it('fixes a matrix that is multiplied with itself', () => {
    const { classes, whyFixed } = analyse(
      `%w = const f32[4,4] zeros()\n%v = const f32[4,4] zeros()\n%r = Reshape(%x, %s)\n%a = MatMul(%w, %r)\n%b = MatMul(%a, %v)
      %c = MatMul(%b, %b)\n%d = ReduceSum(%c)\nreturn %d`.replace('%w =', '%s = const i64[2] {4, 4}\n%w ='),
    );
    expect(whyFixed({ value: 'b', axis: 0 })).toBe("MatMul 'c' reads it in two places");
    expect(classes.flatMap(({ axes }) => axes).some(({ value }) => value === 'b')).toBe(false);
  });

  it('says that an open size has no channels to remove', () => {
    const text = 'graph g(%x: f32[n,c,h,w]) {\n%a = Relu(%x)\n%y = Relu(%a)\nreturn %y\n}';
    const { whyFixed } = analyseChannels(parseGraph(text, semantics));
    expect(whyFixed({ value: 'a', axis: 1 })).toBe('its size is not a number');
  });
});
