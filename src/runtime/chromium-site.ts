import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Site } from './chromium-server.js';
import type { RuntimeName } from './runner.js';

/** How a page gets a runtime. All addresses are relative to the page's. */
interface PageRuntime {
  /** What is served, by the first part of the address. */
  readonly folders: Readonly<Record<string, string>>;
  /** Where the page finds what its modules import by name. */
  readonly imports: Readonly<Record<string, string>>;
  /** Scripts that are no modules; they come first. */
  readonly scripts: readonly string[];
  /** The folder of the WebAssembly files. */
  readonly wasm: string;
}

const require = createRequire(import.meta.url);
const packageFile = (name: string, { resolve } = require) => resolve(`${name}/package.json`);

const PAGE_SCRIPT = fileURLToPath(new URL('./chromium-page.js', import.meta.url));

const PAGE_RUNTIMES: Record<RuntimeName, () => PageRuntime> = {
  onnxruntime: () => ({
    folders: { 'onnxruntime-web': dirname(require.resolve('onnxruntime-web')) },
    // Both have the interface of onnxruntime-common.
    imports: { 'onnxruntime-node': './onnxruntime-web/ort.wasm.min.mjs' },
    scripts: [],
    wasm: 'onnxruntime-web/',
  }),
  litert: () => {
    const litert = packageFile('@litertjs/core');
    // A dependency of that package, not of ours.
    const wasmUtils = packageFile('@litertjs/wasm-utils', createRequire(litert));
    return {
      folders: { litert: dirname(litert), 'wasm-utils': dirname(wasmUtils) },
      imports: { '@litertjs/core': './litert/dist/index.js', '@litertjs/wasm-utils': './wasm-utils/dist/index.js' },
      scripts: [],
      wasm: 'litert/wasm/',
    };
  },
  tfjs: () => ({
    folders: Object.fromEntries(
      TFJS_PARTS.map((part) => [part, join(dirname(packageFile(`@tensorflow/tfjs-${part}`)), 'dist')]),
    ),
    imports: Object.fromEntries(TFJS_PARTS.map((part) => [`@tensorflow/tfjs-${part}`, TFJS_MODULE])),
    scripts: TFJS_PARTS.map((part) => `${part}/tf-${part}.min.js`),
    wasm: 'backend-wasm/',
  }),
};

/** In the order in which they are to be loaded. */
const TFJS_PARTS = ['core', 'backend-wasm', 'converter'];

/** The scripts of TensorFlow.js make one global object; this is the module of what is imported from its packages. */
const TFJS_MODULE = `data:text/javascript,${encodeURIComponent(
  `export const { dispose, loadGraphModel, setBackend, tensor, tidy, zeros } = tf;
  export const { setThreadsCount, setWasmPaths } = tf.wasm;`,
)}`;

/** The page that runs a model, and where it finds things. */
export interface ModelSite extends Site {
  /** Addresses of the model and of the runtime's WebAssembly files, relative to the page's. */
  readonly model: string;
  readonly wasm: string;
}

export function siteOf(runtime: RuntimeName, file: string): ModelSite {
  const { folders, imports, scripts, wasm } = PAGE_RUNTIMES[runtime]();
  const page = [
    '<!doctype html><link rel="icon" href="data:,">',
    `<script type="importmap">${JSON.stringify({ imports })}</script>`,
    ...scripts.map((script) => `<script src="${script}"></script>`),
    `<script type="module" src="own/${basename(dirname(PAGE_SCRIPT))}/${basename(PAGE_SCRIPT)}"></script>`,
  ];
  const own = dirname(dirname(PAGE_SCRIPT));
  return {
    page: page.join('\n'),
    folders: { ...folders, own, model: dirname(file) },
    model: `model/${encodeURIComponent(basename(file))}`,
    wasm,
  };
}
