import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';

/** What is served. */
export interface Site {
  /** The HTML at the root. */
  readonly page: string;
  /** Folders by the first part of the path that leads into them. */
  readonly folders: Readonly<Record<string, string>>;
}

const TYPES: Readonly<Partial<Record<string, string>>> = {
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/** With these a page is isolated from all others, so that it may share memory and read a clock of microseconds. */
const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

/**
 * Serves one page to the browser of this process: on this machine only, and below a path that nobody else can guess, as
 * every user of the machine may connect.
 */
export class PageServer {
  readonly #server: Server;
  readonly #secret = randomUUID();
  #given: Uint8Array = new Uint8Array();
  #returned: ArrayBuffer | undefined;

  private constructor(private readonly site: Site) {
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  static async start(site: Site): Promise<PageServer> {
    const started = new PageServer(site);
    await new Promise<void>((resolve, reject) => {
      started.#server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return started;
  }

  /** The address of the page. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/${this.#secret}/`;
  }

  /** What the page will get as its inputs. */
  give(bytes: Uint8Array): void {
    this.#given = bytes;
  }

  /** What the page has returned since the last call. */
  take(): ArrayBuffer {
    const returned = this.#returned;
    if (returned === undefined) throw new Error('the page returned no tensors');
    this.#returned = undefined;
    return returned;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts = partsOf(request.url ?? '');
    const [secret, first = '', ...rest] = parts ?? [];
    if (parts === null || secret !== this.#secret) return refuse(response);
    if (rest.length === 0) {
      if (request.method === 'POST' && first === 'outputs') return this.#receive(request, response);
      if (first === 'inputs') return send(response, 'application/octet-stream', this.#given);
      if (first === '') return send(response, 'text/html; charset=utf-8', this.site.page);
    }
    if (!Object.hasOwn(this.site.folders, first)) return refuse(response);
    return sendFile(response, join(this.site.folders[first], ...rest));
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const bytes = new Uint8Array(Number(request.headers['content-length']));
    let length = 0;
    for await (const chunk of request) {
      bytes.set(chunk, length);
      length += chunk.length;
    }
    this.#returned = bytes.buffer;
    send(response, 'text/plain', '');
  }
}

/** The parts of a path, or null where it might lead out of a folder. */
function partsOf(url: string): string[] | null {
  try {
    const parts = new URL(url, 'http://localhost').pathname.slice(1).split('/').map(decodeURIComponent);
    return parts.every((part) => part !== '..' && !/[/\\\0]/.test(part)) ? parts : null;
  } catch {
    return null;
  }
}

function send(response: ServerResponse, type: string, body: string | Uint8Array): void {
  response.writeHead(200, { ...ISOLATION, 'Content-Type': type }).end(body);
}

function refuse(response: ServerResponse): void {
  response.writeHead(404, ISOLATION).end();
}

async function sendFile(response: ServerResponse, file: string): Promise<void> {
  const found = await stat(file).catch(() => null);
  if (!found?.isFile()) return refuse(response);
  const type = TYPES[extname(file)] ?? 'application/octet-stream';
  response.writeHead(200, { ...ISOLATION, 'Content-Type': type, 'Content-Length': found.size });
  await pipeline(createReadStream(file), response);
}
