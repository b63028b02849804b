/**
 * Script of the page that runs one model. It answers the requests of the process that started the browser, and gets and
 * returns tensors through its server.
 */
import { messageOf } from '../errors.js';
import type { PageAnswer, PageRequest } from './chromium-messages.js';
import { decodeTensors, encodeTensors } from './chromium-tensors.js';
import type { LoadInPage, RepeatableModel, RunnerInfo, RuntimeName, Tensors } from './runner.js';
import { timeRuns } from './time-runs.js';

const runtimes: Record<RuntimeName, () => Promise<LoadInPage>> = {
  onnxruntime: async () => (await import('./chromium-page-ort.js')).loadOnnxModel,
  litert: async () => (await import('./chromium-page-litert.js')).loadTfliteModel,
  tfjs: async () => (await import('./chromium-page-tfjs.js')).loadTfjsModel,
};

let loaded: RepeatableModel | undefined;
let timed: (() => Promise<void>) | undefined;

async function answer(request: PageRequest): Promise<RunnerInfo | number[] | null> {
  switch (request.call) {
    case 'load': {
      const load = await runtimes[request.runtime]();
      loaded = await load(request.model, request.wasm);
      return loaded.info;
    }
    case 'run':
      await giveBack(await model().run(await inputs()));
      return null;
    case 'keepInputs':
      timed = model().repeatable(await inputs());
      return null;
    case 'time':
      if (timed === undefined) throw new Error('the first timing needs inputs');
      return timeRuns(timed, request.plan);
  }
}

function model(): RepeatableModel {
  if (loaded === undefined) throw new Error('no model is loaded');
  return loaded;
}

async function inputs(): Promise<Tensors> {
  return decodeTensors(await (await request('inputs')).arrayBuffer());
}

async function giveBack(outputs: Tensors): Promise<void> {
  await request('outputs', { method: 'POST', body: encodeTensors(outputs) });
}

async function request(...given: Parameters<typeof fetch>): Promise<Response> {
  const response = await fetch(...given);
  if (!response.ok) throw new Error(`the server of the page answers ${response.status}`);
  return response;
}

Object.assign(globalThis, {
  answer: (request: PageRequest): Promise<PageAnswer> =>
    answer(request).then(
      (result) => ({ result }),
      (error) => ({ error: messageOf(error) }),
    ),
});
