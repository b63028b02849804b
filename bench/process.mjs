import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Runs a command to its end: wall seconds and peak resident memory in bytes (null where /proc does not say). */
export function measure(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], ...options });
    let errors = '';
    let peak = null;
    child.stderr.on('data', (text) => {
      errors += text;
    });
    // The high-water mark only grows, so the last reading before the end misses at most a few milliseconds.
    const timer = setInterval(() => {
      peak = Math.max(peak ?? 0, highWaterMark(child.pid) ?? 0) || peak;
    }, 4);
    child.on('error', reject);
    child.on('close', (code) => {
      clearInterval(timer);
      if (code === 0) resolve({ seconds: (performance.now() - started) / 1000, peakBytes: peak });
      else reject(new Error(`${command} ${args.join(' ')} ended with ${code}: ${errors.slice(-500)}`));
    });
  });
}

function highWaterMark(pid) {
  try {
    return 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    return null;
  }
}

/** Runs several commands in turns (A B A B …) and returns the median of each. */
export async function interleaved(commands, rounds) {
  const runs = commands.map(() => []);
  for (let round = 0; round < rounds; round++)
    for (const [i, [command, ...args]] of commands.entries()) runs[i].push(await measure(command, args));
  return runs.map((list) => ({
    seconds: median(list.map(({ seconds }) => seconds)),
    peakBytes: median(list.map(({ peakBytes }) => peakBytes)),
  }));
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
