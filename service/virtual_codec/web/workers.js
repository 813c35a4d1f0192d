// Pool of web workers: one for each core, at most MAX_WORKERS. Idle workers end.

import { fetched } from "./files.js";

const MAX_WORKERS = 4, IDLE_MS = 10e3;

const waiting = [], workers = new Set();
export const countWorkers = () => Math.max(1, Math.min(MAX_WORKERS, navigator.hardwareConcurrency || 2));

export function submit(job) {
  return new Promise((resolve, reject) => {
    waiting.push({ ...job, resolve, reject });
    assign();
  });
}

async function assign() {
  while (waiting[0]?.signal?.aborted) {
    const job = waiting.shift();
    job.reject(job.signal.reason);
  }
  if (!waiting.length) return;
  let worker = [...workers].find(one => !one.job);
  if (!worker && workers.size === countWorkers()) return;
  try {
    worker ??= await start();
    const job = worker.job = waiting.shift();
    if (!job) rest(worker);
    else await give(worker, job);
  } catch (error) {
    fail(worker, error);
  }
  assign();
}

function rest(worker) {
  worker.job = null;
  clearTimeout(worker.timer);
  worker.timer = setTimeout(() => {
    if (!worker.job) fail(worker);
  }, IDLE_MS);
}

// Ends a worker. Its job fails with the error, and if no worker is left, so do all waiting jobs.
function fail(worker, error) {
  if (worker) workers.delete(worker);
  worker?.thread?.terminate();
  worker?.job?.reject?.(error);
  if (!workers.size) for (const job of waiting.splice(0)) job.reject(error);
}

async function start() {
  const worker = { job: {}, network: null };
  workers.add(worker);
  try {
    const [script, wasm] = await Promise.all([fetched("worker.js"), fetched("kernels.wasm")]);
    const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    worker.thread = new Worker(trusted(address));
    worker.thread.postMessage({ wasm });
  } catch (error) {
    fail(worker, error);
    throw error;
  }
  worker.thread.onerror = () => fail(worker, new Error("this page lets no worker start"));
  worker.thread.onmessage = ({ data }) => {
    const { job } = worker;
    rest(worker);
    data.error ? job.reject(new Error(data.error)) : job.resolve(data);
    assign();
  };
  return worker;
}

// Starts the first worker early, so that the kernels are compiled while pictures and weights are fetched.
export function warm() {
  if (workers.size) return;
  start().then(worker => {
    rest(worker);
    assign();
  }, () => {});  // the first picture reports the error
}

let policy;
function trusted(address) {  // for pages that require Trusted Types
  policy ??= globalThis.trustedTypes?.createPolicy("virtual-codec", { createScriptURL: text => text });
  return policy ? policy.createScriptURL(address) : address;
}

async function give(worker, job) {
  const message = await job.make();
  if (job.network && worker.network !== job.network.name) {
    message.weights = job.network.content;
    worker.network = job.network.name;
  }
  worker.thread.postMessage(message, message.bitmap ? [message.bitmap] : [message.grey]);
}
