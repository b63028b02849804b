import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PageServer } from '../../src/runtime/chromium-server.js';
import { decodeTensors, encodeTensors } from '../../src/runtime/chromium-tensors.js';
import { TENSOR_ARRAYS, type TensorData, type Tensors, type TensorType } from '../../src/runtime/runner.js';

const folder = mkdtempSync(join(tmpdir(), 'page-server-test-'));
let server: PageServer;

beforeAll(async () => {
  mkdirSync(join(folder, 'served', 'deeper'), { recursive: true });
  writeFileSync(join(folder, 'outside.txt'), 'outside');
  writeFileSync(join(folder, 'served', 'model with ü.json'), '{}');
  writeFileSync(join(folder, 'served', 'deeper', 'a.wasm'), 'wasm');
  server = await PageServer.start({ page: '<p>', folders: { served: join(folder, 'served') } });
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

it('serves the page and the files of its folders to an isolated page', async () => {
  const page = await fetch(server.url);
  expect([page.status, page.headers.get('content-type'), await page.text()]).toEqual([
    200,
    'text/html; charset=utf-8',
    '<p>',
  ]);
  const json = await fetch(`${server.url}served/${encodeURIComponent('model with ü.json')}`);
  expect([json.headers.get('content-type'), await json.text()]).toEqual(['application/json', '{}']);
  const wasm = await fetch(`${server.url}served/deeper/a.wasm`);
  expect([wasm.headers.get('content-type'), await wasm.text()]).toEqual(['application/wasm', 'wasm']);
  for (const { headers } of [page, json, wasm]) {
    expect(headers.get('cross-origin-opener-policy')).toBe('same-origin');
    expect(headers.get('cross-origin-embedder-policy')).toBe('require-corp');
    expect(headers.get('cross-origin-resource-policy')).toBe('same-origin');
  }
});

/** The status of a request whose path is sent as it is, without the tidying of `fetch`. */
function statusOf(path: string): Promise<string> {
  const { port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), '127.0.0.1', () => {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    });
    socket.on('data', (data) => resolve(data.toString().split(' ')[1])).on('error', reject);
  });
}

it('serves nothing else, and nothing to whom does not know its address', async () => {
  const { pathname } = new URL(server.url);
  expect(await statusOf(`${pathname}served/deeper/a.wasm`)).toBe('200');
  const refused = [
    '/',
    '/served/deeper/a.wasm',
    '/00000000-0000-0000-0000-000000000000/served/deeper/a.wasm',
    `${pathname}served`,
    `${pathname}served/`,
    `${pathname}served/deeper`,
    `${pathname}served/missing.json`,
    `${pathname}served/../outside.txt`,
    `${pathname}served/%2e%2e/outside.txt`,
    `${pathname}served/..%2foutside.txt`,
    `${pathname}served/deeper/..%2f..%2f..%2foutside.txt`,
    `${pathname}served/%5c..%5coutside.txt`,
    `${pathname}served/a%00.wasm`,
    `${pathname}served/%zz`,
    `${pathname}constructor/name`,
    `${pathname}__proto__/x`,
    `${pathname}/etc/passwd`,
    `${pathname}served//etc/passwd`,
  ];
  for (const path of refused) expect([path, await statusOf(path)]).toEqual([path, '404']);
});

it('carries tensors of every element type there and back', async () => {
  const entries = Object.entries(TENSOR_ARRAYS).map(([type, TypedArray], index) => {
    // Odd lengths, and views that do not start where their memory does.
    const bytes = Uint8Array.from({ length: 8 * 8 }, (_, at) => (at * 37 + index) % 256);
    return [`tensor "${type}" ü`, { type: type as TensorType, dims: [5, 1], data: new TypedArray(bytes.buffer, 8, 5) }];
  });
  const tensors: Tensors = { ...Object.fromEntries(entries), scalar: scalar(3), empty: empty() };
  server.give(encodeTensors(tensors));
  const given = await (await fetch(`${server.url}inputs`)).arrayBuffer();
  expect(decodeTensors(given)).toEqual(tensors);
  expect(() => server.take()).toThrow(/returned no tensors/);
  await fetch(`${server.url}outputs`, { method: 'POST', body: given });
  expect(decodeTensors(server.take())).toEqual(tensors);
});

function scalar(value: number): TensorData {
  return { type: 'float32', dims: [], data: Float32Array.of(value) };
}

function empty(): TensorData {
  return { type: 'int64', dims: [0, 4], data: new BigInt64Array(0) };
}
