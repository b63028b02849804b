/**
 * Entry point of the process that runs one model. It answers the requests of its parent over the IPC channel and
 * imports a runtime only when asked for it.
 */
import { Worker } from 'node:worker_threads';
import { messageOf } from '../errors.js';
import { Exchange } from './exchange.js';
import type { Calls, Reply, Request } from './messages.js';
import type { LoadedModel, LoadModel, RuntimeName, Tensors, TimePlan } from './runner.js';
import { ServedStep } from './served-step.js';

const runtimes: Record<RuntimeName, () => Promise<LoadModel>> = {
  onnxruntime: async () => (await import('./ort.js')).loadOnnxModel,
  litert: async () => (await import('./litert.js')).loadTfliteModel,
  tfjs: async () => (await import('./tfjs.js')).loadTfjsModel,
};

let loaded: LoadedModel | undefined;
let exchange: Exchange | undefined;
let served: ServedStep | undefined;
let timed: (() => Promise<void>) | undefined;

async function answer(request: Request): Promise<Calls[Request['call']]['result']> {
  switch (request.call) {
    case 'load': {
      const load = await runtimes[request.given.runtime]();
      loaded = await load(request.given.file, request.given.threads);
      return loaded.info;
    }
    case 'run':
      return model().run(request.given.inputs);
    case 'time':
      return time(request.given.inputs, request.given.plan);
    case 'profile':
      return model().profile(request.given.inputs, request.given.runs, request.given.folder);
    case 'memory':
      return { rssBytes: process.memoryUsage.rss(), peakRssBytes: process.resourceUsage().maxRSS * 1024 };
    case 'openExchange':
      exchange = new Exchange(request.given.path, 'r+');
      return null;
    case 'loadStep': {
      const { file, threads, plan } = request.given;
      const { loadOnnxStep } = await import('./ort-step.js');
      if (exchange === undefined) throw new Error('no exchange is open');
      const step = await loadOnnxStep(file, threads, plan);
      served = new ServedStep(step, exchange);
      return step.info;
    }
    case 'unloadStep':
      await served?.unload();
      served = undefined;
      return null;
    case 'step':
      return step().run(request.given.inputs);
    case 'setState':
      step().setState(request.given.values);
      return null;
    case 'state':
      return step().state();
  }
}

function model(): LoadedModel {
  if (loaded === undefined) throw new Error('no model is loaded');
  return loaded;
}

function step(): ServedStep {
  if (served === undefined) throw new Error('no step is loaded');
  return served;
}

async function time(inputs: Tensors | null, plan: TimePlan): Promise<number[]> {
  if (inputs !== null) timed = model().repeatable(inputs);
  if (timed === undefined) throw new Error('the first timing needs inputs');
  const times: number[] = [];
  const start = performance.now();
  const done = () => ('runs' in plan ? times.length >= plan.runs : performance.now() - start >= plan.milliseconds);
  do {
    const before = performance.now();
    await timed();
    times.push(performance.now() - before);
    // Frees the outputs, so that the next run need not wait for new memory; see the allocator's settings in spawn.ts.
    globalThis.gc?.({ execution: 'sync', type: 'minor' });
  } while (!done());
  return times;
}

/** A runtime's message, which may be several lines, as a part of one sentence. */
function asClause(message: string): string {
  return message.replace(/\s+/g, ' ').replace(/[\s.]+$/, '');
}

function reply(message: Reply): void {
  process.send?.(message);
}

process.on('message', (request: Request) => {
  answer(request).then(
    (result) => reply({ id: request.id, result }),
    (error) => reply({ id: request.id, error: asClause(messageOf(error)) }),
  );
});

// The parent has ended, in whatever way. During a long native call only another thread can notice it.
process.on('disconnect', () => process.exit());
new Worker(new URL('./watchdog.js', import.meta.url), { workerData: process.ppid }).unref();

// Ctrl-C, a closed terminal and `timeout` reach every process of the group; what they mean is the parent's decision.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
