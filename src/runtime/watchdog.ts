/** Thread of the child process that kills it when its parent, whose id it is given, is no longer its parent. */
import { workerData } from 'node:worker_threads';

setInterval(() => {
  if (process.ppid !== workerData) process.kill(process.pid, 'SIGKILL');
}, 1000);
