/**
 * Entry point of the process that runs one model. It answers the requests of its parent over the IPC channel and
 * imports a runtime only when asked for it.
 */
import { Worker } from 'node:worker_threads';
import { messageOf } from '../errors.js';
import { Exchange } from './exchange.js';
import type { Calls, Reply, Request } from './messages.js';
import type { LoadedModel, LoadModel, PageModel, RuntimeName, Tensors, TimePlan } from './runner.js';
import { ServedStep } from './served-step.js';
import { timeRuns } from './time-runs.js';

const runtimes: Record<RuntimeName, () => Promise<LoadModel>> = {
  onnxruntime: async () => (await import('./ort.js')).loadOnnxModel,
  litert: async () => (await import('./litert.js')).loadTfliteModel,
  tfjs: async () => (await import('./tfjs.js')).loadTfjsModel,
};

let loaded: LoadedModel | PageModel | undefined;
let exchange: Exchange | undefined;
let served: ServedStep | undefined;
let timed: (() => Promise<void>) | undefined;

async function answer(request: Request): Promise<Calls[Request['call']]['result']> {
  switch (request.call) {
    case 'load': {
      const { runtime, file, threads, chromium } = request.given;
      if (chromium === null) {
        const load = await runtimes[runtime]();
        loaded = await load(file, threads);
      } else {
        const { loadInChromium } = await import('./chromium.js');
        loaded = await loadInChromium(runtime, file, chromium);
      }
      return loaded.info;
    }
    case 'run':
      return model().run(request.given.inputs);
    case 'time':
      return time(request.given.inputs, request.given.plan);
    case 'profile':
      return modelHere('profiled').profile(request.given.inputs, request.given.runs, request.given.folder);
    case 'memory':
      if (loaded !== undefined) modelHere('measured in memory');
      return { rssBytes: process.memoryUsage.rss(), peakRssBytes: process.resourceUsage().maxRSS * 1024 };
    case 'closePage':
      if (loaded !== undefined && 'close' in loaded) await loaded.close();
      return null;
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

function model(): LoadedModel | PageModel {
  if (loaded === undefined) throw new Error('no model is loaded');
  return loaded;
}

/** @param wanted what only a model in this process can be, e.g. `profiled` */
function modelHere(wanted: string): LoadedModel {
  const found = model();
  if ('close' in found) throw new Error(`in a browser a model cannot be ${wanted}; run it in Node for that`);
  return found;
}

function step(): ServedStep {
  if (served === undefined) throw new Error('no step is loaded');
  return served;
}

async function time(inputs: Tensors | null, plan: TimePlan): Promise<number[]> {
  const found = model();
  if ('close' in found) return found.time(inputs, plan);
  if (inputs !== null) timed = found.repeatable(inputs);
  if (timed === undefined) throw new Error('the first timing needs inputs');
  return timeRuns(timed, plan);
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
