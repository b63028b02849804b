import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GraphBuilder } from '../dist/ir/builder.js';
import { Tensor } from '../dist/ir/tensor.js';
import { semantics } from '../dist/ops/index.js';
import { replay } from '../dist/training/differentiate.js';
import { LOSSES, NUMBERS } from '../dist/training/step.js';
import { buildNet, buildTraining, buildTrainingStep, makeData, numbersOf } from './train-nets.mjs';
import { openPeer, writePeerFiles } from './train-peer.mjs';

const STEP = 100;

/** So large that a wrong gradient shows in the parameters. */
const RATE = 1;

/** Seeds are tried until so many have had the same decisions. */
const MOST_SEEDS = 10;
const ENOUGH = 2;

/** Largest relative errors against double precision: of a loss, and of a tensor of the new state (L2). */
const LOSS_TOLERANCE = 1e-5;
const TENSOR_TOLERANCE = 1e-4;

/**
 * Compares one step with PyTorch in double precision, from the same weights, batch and state, for several seeds. At near
 * ties rounding makes a ReLU or a pooling window decide otherwise, in single precision PyTorch's too, which says nothing
 * about formulas: the peer is given our ReLU decisions, and tensors are judged where all pooling maxima agree. Losses
 * must always.
 */
export async function checkStep(engine, net, kernels, shape) {
  let sameDecisions = 0;
  let isRight = true;
  for (let seed = 1; seed <= MOST_SEEDS && sameDecisions < ENOUGH; seed++) {
    const { losses, norm, tensors, otherDecisions } = await compareStep(engine, net, kernels, { ...shape, seed });
    const isSame = otherDecisions.pools === 0;
    sameDecisions += isSame ? 1 : 0;
    const worst = Object.entries(tensors).map(([name, { error, of }]) => `${name} ${error.toExponential(1)} (${of})`);
    const isWithin = !isSame || Object.values(tensors).every(({ error }) => error <= TENSOR_TOLERANCE);
    const isGood = losses <= LOSS_TOLERANCE && isWithin;
    isRight &&= isGood;
    console.log(
      `  seed ${seed}: ${isGood ? 'ok' : 'WRONG'}; other decisions: ${otherDecisions.given} of ReLUs (given), ${otherDecisions.pools} of pools; losses ${losses.toExponential(1)}, gradient norm ${norm.toExponential(1)}; worst tensors: ${worst.join(', ')}`,
    );
  }
  if (sameDecisions === 0) console.log('  WRONG: no seed with the same pooling maxima, so tensors were not judged');
  return isRight && sameDecisions > 0;
}

async function compareStep(engine, net, kernels, { seed, ...shape }) {
  const folder = mkdtempSync(join(tmpdir(), 'unet-compress-check-'));
  try {
    const training = buildTraining(buildNet(net, { ...shape, seed }), shape);
    const step = buildTrainingStep(training, kernels.create);
    const data = makeData(training, step.layout, { ...shape, seed: seed + 100 });
    const numbers = numbersOf(STEP, { rate: RATE });
    const ours = await runStep(engine, step, data, numbers);
    for (const [i, values] of (await activations(engine, training, step.layout, data, kernels)).entries())
      writeFileSync(
        join(folder, `activation${i}.bin`),
        new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
      );
    writePeerFiles(folder, { net, training, layout: step.layout, data, numbers, step: STEP });
    const peer = await openPeer(folder, 1, 'float64');
    const { losses, otherDecisions } = await peer.ask('check').finally(() => peer.close());
    const theirs = (name) => new Float64Array(new Uint8Array(readFileSync(join(folder, `next-${name}.bin`))).buffer);
    const places = step.layout.parameters;
    const whole = { name: 'all', offset: 0, size: step.layout.size };
    // The last is the norm of the gradient before clipping, which hangs on decisions as the gradient does.
    const terms = losses.map((loss, i) => Math.abs(ours.losses[i] / loss - 1));
    return {
      losses: Math.max(...terms.slice(0, -1)),
      norm: terms.at(-1),
      otherDecisions,
      tensors: {
        parameters: worstOf(places, ours.state.get('parameters'), theirs('parameters')),
        average: worstOf(places, ours.state.get('average'), theirs('average')),
        // From zero, the momentum becomes a tenth of the clipped gradient: as a whole, since in a few of its tensors (the
        // scale before another normalization) large terms nearly cancel.
        gradient: worstOf([whole], ours.state.get('momentum'), theirs('momentum')),
        squares: worstOf(places, ours.state.get('squares'), theirs('squares')),
        statistics: worstOf(statisticsPlaces(step.layout), ours.state.get('statistics'), theirs('statistics')),
      },
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runStep(engine, { graph, carried }, data, numbers) {
  const loaded = await engine.loadStep(graph, carried);
  try {
    await loaded.setState(new Map(Object.entries(data.state).map(([name, values]) => [name, Tensor.floats(values)])));
    const outputs = await loaded.run(new Map([...data.inputs, [NUMBERS, Tensor.floats(numbers)]]));
    const state = await loaded.state();
    return {
      losses: outputs.get(LOSSES).toFloat32(),
      state: new Map([...state].map(([name, tensor]) => [name, tensor.toFloat32()])),
    };
  } finally {
    await loaded.close();
  }
}

/** What every ReLU makes in the step's forward pass, in graph order. */
async function activations(engine, { graph }, layout, data, kernels) {
  const builder = new GraphBuilder(semantics);
  const made = kernels.create(builder);
  const inputs = new Map([['image', data.inputs.get('image')]]);
  const input = (name, values, shape) => {
    inputs.set(name, Tensor.floats(values, shape));
    return made.wrap(builder.input(name, { dtype: 'f32', shape }));
  };
  const given = new Map([['image', made.wrap(builder.input('image', graph.type('image')))]]);
  for (const { name, shape, offset, size } of layout.parameters)
    given.set(name, input(name, data.state.parameters.slice(offset, offset + size), shape));
  const runningMeans = new Map(
    layout.statistics.map(({ mean, offset, channels }) => [
      mean,
      input(mean, data.state.statistics.slice(offset, offset + channels), [channels]),
    ]),
  );
  const tape = replay(graph, made, given, { runningMeans });
  const names = graph.nodes
    .filter(({ op }) => op === 'Relu')
    .map(({ outputs: [name] }) => made.nameOf(tape.values.get(name)));
  const loaded = await engine.loadStep(builder.build(names), new Map());
  try {
    const outputs = await loaded.run(inputs);
    return names.map((name) => outputs.get(name).toFloat32());
  } finally {
    await loaded.close();
  }
}

function statisticsPlaces({ statistics, channels: total }) {
  const of = (name, offset, size) => ({ name, offset, size });
  return statistics.flatMap(({ mean, variance, offset, channels }) => [
    of(mean, offset, channels),
    of(variance, total + offset, channels),
  ]);
}

function worstOf(places, ours, theirs) {
  const errors = places.map(({ name, offset, size }) => {
    let [distance, length] = [0, 0];
    for (let i = offset; i < offset + size; i++) {
      distance += (ours[i] - theirs[i]) ** 2;
      length += theirs[i] ** 2;
    }
    return { of: name, error: Math.sqrt(distance / length) };
  });
  return errors.reduce((worst, entry) => (entry.error > worst.error ? entry : worst));
}
