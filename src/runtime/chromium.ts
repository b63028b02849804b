import type { Browser, Page } from 'playwright-core';
import { messageOf } from '../errors.js';
import type { PageAnswer, PageRequest } from './chromium-messages.js';
import { PageServer } from './chromium-server.js';
import { siteOf } from './chromium-site.js';
import type { ChromiumStart } from './chromium-start.js';
import { decodeTensors, encodeTensors } from './chromium-tensors.js';
import type { PageModel, RunnerInfo, RuntimeName } from './runner.js';
import { readGraphModel } from './tfjs-files.js';

/**
 * Loads a model into a page of a headless Chromium, which ends with this process, however that ends. Meant for a process
 * of its own.
 */
export async function loadInChromium(runtime: RuntimeName, file: string, start: ChromiumStart): Promise<PageModel> {
  // Says what is wrong with the files of weights, where the library in the page goes on with half of them.
  if (runtime === 'tfjs') await readGraphModel(file);
  const site = siteOf(runtime, file);
  const server = await PageServer.start(site);
  const browser = await launch(start);
  const close = async () => {
    await browser.close();
    server.close();
  };
  try {
    const page = await ModelPage.open(browser, server);
    const addresses = { model: server.url + site.model, wasm: server.url + site.wasm };
    const info = (await page.ask({ call: 'load', runtime, ...addresses })) as RunnerInfo;
    return { ...modelIn(page, info, server), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function modelIn(page: ModelPage, info: RunnerInfo, server: PageServer): Omit<PageModel, 'close'> {
  return {
    info,
    async run(inputs) {
      server.give(encodeTensors(inputs));
      await page.ask({ call: 'run' });
      return decodeTensors(server.take());
    },
    async time(inputs, plan) {
      if (inputs !== null) {
        server.give(encodeTensors(inputs));
        await page.ask({ call: 'keepInputs' });
      }
      return (await page.ask({ call: 'time', plan })) as number[];
    },
  };
}

async function launch({ executable, folder }: ChromiumStart): Promise<Browser> {
  // Where Playwright and Chromium write what they need for a time, and Chromium what it would keep for its user.
  for (const name of ['TMPDIR', 'TEMP', 'TMP', 'XDG_CONFIG_HOME', 'XDG_CACHE_HOME']) process.env[name] = folder;
  const { chromium } = await import('playwright-core');
  try {
    return await chromium.launch({
      executablePath: executable,
      headless: true,
      timeout: 0,
      // Nothing is drawn.
      args: ['--disable-gpu', '--disable-software-rasterizer', '--js-flags=--expose-gc'],
      // The process, which its parent gives its time, ends when the parent says so, and with it the browser, which
      // notices the end of the pipe between them.
      handleSIGINT: false,
      handleSIGTERM: false,
      handleSIGHUP: false,
    });
  } catch (error) {
    throw new Error(`${executable} does not start: ${firstLine(error)}`, { cause: error });
  }
}

/** The page, which answers one request after another. */
class ModelPage {
  private constructor(
    private readonly page: Page,
    private readonly errors: string[],
  ) {}

  static async open(browser: Browser, server: PageServer): Promise<ModelPage> {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on('pageerror', ({ message }) => errors.push(message));
    await page.goto(server.url, { timeout: 0 });
    return new ModelPage(page, errors);
  }

  async ask(request: PageRequest): Promise<Extract<PageAnswer, { result: unknown }>['result']> {
    const answer = await this.page
      .evaluate<PageAnswer>(`globalThis.answer(${JSON.stringify(request)})`)
      .catch((error: unknown) => {
        throw new Error(`the page fails: ${this.errors[0] ?? firstLine(error)}`, { cause: error });
      });
    if ('error' in answer) throw new Error(answer.error);
    return answer.result;
  }
}

/** What Playwright says without its log and its name of the call. */
function firstLine(error: unknown): string {
  return messageOf(error)
    .split('\n', 1)[0]
    .replace(/^[\w.]+: /, '');
}
