import { execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const python = process.env.PYTHON ?? '/usr/bin/python3';
const script = new URL('./train-step.py', import.meta.url).pathname;

/** Version of the peer's PyTorch; undefined where there is none. */
export function torchVersion() {
  try {
    const print = 'import torch; print(torch.__version__)';
    return execFileSync(python, ['-c', print], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
}

/** Writes what the peer starts from: the net's shape, batch and state. */
export function writePeerFiles(folder, { net, training, layout, data, numbers, step }) {
  const tensors = [...data.inputs.values()];
  const files = {
    ...data.state,
    image: tensors[0].toFloat32(),
    target: tensors[1].toFloat32(),
    ...Object.fromEntries(tensors.slice(2).map((tensor, i) => [`feature${i}`, tensor.toFloat32()])),
  };
  for (const [name, values] of Object.entries(files)) writeFileSync(join(folder, `${name}.bin`), bytesOf(values));
  const places = new Map(training.features.map(({ value }, i) => [`adapter/${value}`, `adapters.${i}`]));
  const peerName = (name) => {
    const [, adapter, part] = /^(adapter\/.*)\/(\w+)$/.exec(name) ?? [];
    return adapter ? `${places.get(adapter)}.${part}` : name;
  };
  const description = {
    base: net.base,
    separable: net.separable,
    shape: tensors[0].shape,
    features: training.features.map(({ pool, components, studentChannels }, i) => ({
      pool: pool[0],
      components,
      channels: studentChannels,
      weight: training.terms[i].weight,
    })),
    parameters: layout.parameters.map(({ name, offset, ...rest }) => ({
      ...rest,
      name: peerName(name),
      offset,
      decays: offset < layout.decayed,
    })),
    statistics: layout.statistics.map(({ mean, variance, offset, channels }) => [
      { name: mean, offset, size: channels },
      { name: variance, offset: layout.channels + offset, size: channels },
    ]),
    step,
    rate: numbers[0],
    averaging: numbers[3],
  };
  writeFileSync(join(folder, 'net.json'), JSON.stringify(description));
}

function bytesOf({ buffer, byteOffset, byteLength }) {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/**
 * glibc gives large freed blocks back to the system and gets them anew in every step; where page faults are dear (virtual
 * machines) that makes PyTorch up to ten times slower. Told to keep them it runs at its true speed.
 */
const KEPT_MEMORY = {
  MALLOC_MMAP_THRESHOLD_: '2000000000',
  MALLOC_TRIM_THRESHOLD_: '4000000000',
  MALLOC_TOP_PAD_: '500000000',
};

/** Starts the peer in a process of its own; `ask` has it do what a word says and returns its answer. */
export async function openPeer(folder, threads, layout) {
  const env = { ...process.env, ...KEPT_MEMORY, OMP_NUM_THREADS: String(threads), PYTHONUNBUFFERED: '1' };
  const child = spawn(python, [script, folder, String(threads), layout], { env, stdio: ['pipe', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (text) => {
    errors += text;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`the peer ended: ${errors.slice(-1000)}`);
    return JSON.parse(value);
  };
  await answer();
  return {
    ask(word) {
      child.stdin.write(`${word}\n`);
      return answer();
    },
    async close() {
      child.stdin.end();
      await new Promise((resolve) => (child.exitCode === null ? child.once('close', resolve) : resolve()));
    },
  };
}
