import { constants } from 'node:fs';
import { access, mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { cannotWrite, notInstalled } from '../errors.js';
import type { RuntimeName } from './runner.js';

/** What it takes to start the browser. */
export interface ChromiumStart {
  /** The path of Chromium. */
  executable: string;
  /** For the temporary files of the browser. */
  folder: string;
}

const COMMANDS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];

/** Packages that are not installed with this one, by the runtimes that need them in a page. */
const PACKAGES: Record<RuntimeName, readonly string[]> = {
  onnxruntime: ['playwright-core', 'onnxruntime-web'],
  litert: ['playwright-core'],
  tfjs: ['playwright-core'],
};

/**
 * Finds the browser and makes its temporary folder, which `removeFolder` removes.
 *
 * @throws CompressError when the browser or a package is not installed, or when the folder cannot be made
 */
export async function prepareChromium(runtime: RuntimeName): Promise<ChromiumStart> {
  requirePackages(runtime);
  const executable = await findChromium();
  const folder = await mkdtemp(join(tmpdir(), 'unet-compress-')).catch((cause) => {
    throw cannotWrite(tmpdir(), cause);
  });
  return { executable, folder };
}

/** To be called when the process that started the browser has ended. The browser notices that, and ends, a bit later. */
export async function removeFolder({ folder }: ChromiumStart): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
}

/** @throws CompressError when a package is missing that the runtime needs in a page */
function requirePackages(runtime: RuntimeName): void {
  const { resolve } = createRequire(import.meta.url);
  const missing = PACKAGES[runtime].filter((name) => {
    try {
      return resolve(name) === '';
    } catch {
      return true;
    }
  });
  if (missing.length > 0) {
    throw notInstalled(`the package ${missing.join(' and ')}`, `run npm install ${missing.join(' ')}`);
  }
}

/** The program that CHROME_PATH names, or else the first of the usual names on the PATH. */
async function findChromium(): Promise<string> {
  const named = process.env.CHROME_PATH;
  if (named) {
    if (await isExecutable(named)) return named;
    throw notInstalled(
      `the program ${named}, which CHROME_PATH names,`,
      'set CHROME_PATH to the path of Chromium or Chrome',
    );
  }
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  for (const command of COMMANDS) {
    for (const folder of folders) {
      const path = join(folder, command);
      if (await isExecutable(path)) return path;
    }
  }
  throw notInstalled('Chromium', 'install it (on Debian: apt-get install chromium), or set CHROME_PATH to its path');
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
