// Restores streams of virtual-codec, and other JPEGs, in the visitor's browser.
//
//     import { restore } from "https://images.example/web/restore.js";
//     const picture = await restore("/photo.vc.jpg");  // ImageData
//
// Importing it also restores every <img data-restore> in place. Where that cannot be done the plain picture stays.

const VERSION = "@VERSION@", MODEL = "@MODEL@";  // folder of what never changes, id of the default model
const HERE = new URL(`${VERSION}/`, import.meta.url);
const MAX_PIXELS = 50e6, MEMORY = 80e6, MAX_WORKERS = 4, IDLE_MS = 10e3;
const TILE_COST = 2 ** 14, MAX_COLUMNS = 64;  // pixels that take as long as what each tile takes besides

/**
 * Restored picture of a stream or of any other JPEG.
 *
 * @param {string | URL | Blob | ArrayBuffer | ArrayBufferView} source address or content of the file
 * @param {{signal?: AbortSignal}} [options]
 * @returns {Promise<ImageData>} rejected where the file is damaged or this browser cannot restore it
 */
export async function restore(source, { signal } = {}) {
  const { pixels, width, height } = await render(source, signal);
  return new ImageData(new Uint8ClampedArray(pixels.buffer), width, height);
}

async function render(source, signal) {
  warm();
  const bytes = await read(source, signal);
  const jpeg = parse(bytes);
  const { own } = jpeg;
  const scale = own ? own.scale : 1;
  const isPlain = own ? own.isPlain : !canRestore(jpeg);
  const loading = isPlain ? null : load(`${own ? own.model : MODEL}-${scale}`, signal);
  loading?.catch(() => {});  // told below
  const decoded = await decode(bytes, jpeg, signal);
  try {
    const network = await loading;
    const width = own ? scale * (decoded.width - 1) + own.right : decoded.width;
    const height = own ? scale * (decoded.height - 1) + own.below : decoded.height;
    if (width * height > MAX_PIXELS) throw new Error("the picture is too large to be restored here");
    const common = { scale, isPlain, isGrey: jpeg.tables.length === 1, keepsLuma: !own && isFine(jpeg),
      condition: condition(jpeg) };
    return await assemble(decoded, network, common, width, height, signal);
  } finally {
    decoded.close();
  }
}

async function read(source, signal) {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  const blob = source instanceof Blob ? source : await (await get(source, signal)).blob();
  return new Uint8Array(await blob.arrayBuffer());
}

async function get(address, signal) {
  const response = await fetch(address, { signal });
  if (!response.ok) throw new Error(`status ${response.status} for ${address}`);
  return response;
}

// ---- the file: segments, tables, the header of a stream

function parse(bytes) {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) throw new Error("not a JPEG");
  const word = at => bytes[at] << 8 | bytes[at + 1];
  const defined = {}, used = new Map(), kept = [[0, 2]], headers = [];
  let frame = null, scans = 0;
  for (let at = 2; at < bytes.length;) {
    while (at < bytes.length && (bytes[at] !== 0xff || isStandalone(bytes[at + 1]))) at++;
    const marker = bytes[at + 1], start = at + 4, end = at + 2 + word(at + 2);
    if (at + 1 >= bytes.length || marker === 0xd9) break;
    if (end > bytes.length || end < start) throw new Error("the JPEG is damaged or truncated");
    if (marker === 0xda) {
      if (!frame) throw new Error("the JPEG is damaged: a scan comes before the frame header");
      if (!scans++) kept.push([at, bytes.length]);
      for (let i = 0; i < bytes[start]; i++) {
        const id = bytes[start + 1 + 2 * i], table = defined[frame.tables.get(id)];
        if (table && !used.has(id)) used.set(id, table);
      }
    } else if (marker === 0xdb) {
      for (let i = start; i < end;) {
        const isWide = bytes[i] >> 4, name = bytes[i] & 15;
        defined[name] = Array.from({ length: 64 }, (_, k) => isWide ? word(i + 1 + 2 * k) : bytes[i + 1 + k]);
        i += 65 + 64 * isWide;
      }
    } else if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      const parts = Array.from({ length: bytes[start + 5] }, (_, k) => bytes.subarray(start + 6 + 3 * k, start + 9 + 3 * k));
      frame = { precision: bytes[start], sampling: parts.map(part => part[1]), tables: new Map(parts.map(part => [part[0], part[2]])) };
    } else if (marker === 0xeb && !scans && String.fromCharCode(...bytes.subarray(start, start + 4)) === "VCDC" && end >= start + 4) {
      headers.push(bytes.subarray(start, end));
    }
    // Orientation and colour profiles are applied by browsers, whatever they are asked: the network sees neither.
    const isMetadata = marker >= 0xe1 && marker <= 0xef && marker !== 0xee || marker === 0xfe;
    if (!scans && !isMetadata) kept.push([at, end]);
    at = end;
  }
  if (!frame || !scans) throw new Error("the JPEG ends before its picture begins");
  if (headers.length > 1) throw new Error("the stream has several VCDC segments");
  const tables = [...frame.tables.keys()].map(id => used.get(id));
  const jpeg = { kept, tables, precision: frame.precision, isSubsampled: new Set(frame.sampling).size > 1, own: null };
  if (headers.length) jpeg.own = unpack(headers[0], jpeg);
  return jpeg;
}

const isStandalone = marker => marker < 2 || marker >= 0xd0 && marker <= 0xd8 || marker === 0xff;

function unpack(body, jpeg) {
  let crc = 0;
  for (const byte of body.subarray(0, -1)) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = crc & 0x80 ? crc << 1 ^ 0x107 : crc << 1;
  }
  const flags = body[4] & 15, scale = (body[5] >> 4) + 1, right = (body[5] >> 2 & 3) + 1, below = (body[5] & 3) + 1;
  const isSound = body.length === 11 && crc === body[10] && body[4] >> 4 === 1 && flags < 4 && scale <= 2
    && right <= scale && below <= scale && jpeg.precision === 8
    && (jpeg.tables.length === 1 || jpeg.tables.length === 3 && !(flags & 2));
  if (!isSound) throw new Error("the stream's VCDC segment is damaged, or of a version from the future");
  const model = Array.from(body.subarray(6, 10), byte => byte.toString(16).padStart(2, "0")).join("");
  return { model, scale, right, below, isPlain: Boolean(flags & 1) };
}

// Condition of the networks: log2 of the table entries, as means over bands of rising frequency.
function condition({ tables, isSubsampled, own }) {
  const last = [0, 1, 2, 3, 5, 8, 14], diagonals = zigzagDiagonals();
  const means = table => last.map((high, band) => {
    const low = band ? last[band - 1] + 1 : 0, inside = table.filter((_, k) => low <= diagonals[k] && diagonals[k] <= high);
    return (inside.reduce((sum, step) => sum + Math.log2(Math.max(step, 1)), 0) / inside.length - 4) / 2;
  });
  if (tables.some(table => !table)) return [];
  return [...means(tables[0]), ...means(tables[1] ?? tables[0]), +isSubsampled, +Boolean(own), +(tables.length === 1)];
}

function zigzagDiagonals() {
  return Array.from({ length: 15 }, (_, d) => Array(d < 8 ? d + 1 : 15 - d).fill(d)).flat();
}

const isFine = ({ tables }) => tables[0].reduce((sum, step) => sum + step, 0) / 64 < 3.5;

function canRestore(jpeg) {
  if (![1, 3].includes(jpeg.tables.length) || jpeg.precision !== 8 || jpeg.tables.some(table => !table)) return false;
  return !isFine(jpeg) || jpeg.isSubsampled;
}

async function decode(bytes, jpeg, signal) {
  const picture = jpeg.own ? joined(jpeg.kept.map(([start, end]) => bytes.subarray(start, end))) : bytes;
  const options = jpeg.own ? { colorSpaceConversion: "none", premultiplyAlpha: "none" } : {};
  const bitmap = await createImageBitmap(new Blob([picture], { type: "image/jpeg" }), options);
  if (signal?.aborted) bitmap.close();
  signal?.throwIfAborted();
  return bitmap;
}

function joined(parts) {               // by hand: Firefox cannot decode a Blob of several parts
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return whole;
}

// ---- files that never change: fetched once, and once more after a failure

const files = new Map();

function once(name, make) {
  if (!files.has(name)) {
    const file = make(name);
    files.set(name, file);
    file.catch(() => files.delete(name));
  }
  return files.get(name);
}

const fetched = name => once(name, async () => (await get(new URL(name, HERE))).arrayBuffer());

async function load(model, signal) {
  const name = `${model}.bin`;
  const file = await once(`${name} inflated`, async () => {
    const packed = new Uint8Array(await fetched(name));
    if (String.fromCharCode(...packed.subarray(0, 4)) !== "VCW1") throw new Error(`${name} holds no weights`);
    const stream = new Blob([packed.subarray(4)]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    files.delete(name);
    const content = await new Response(stream).arrayBuffer();
    const length = new DataView(content).getUint32(0, true);
    return { name, content, header: JSON.parse(new TextDecoder().decode(new Uint8Array(content, 4, length))) };
  });
  signal?.throwIfAborted();
  return file;
}

// ---- workers: as many as there are cores, at most MAX_WORKERS; they end when nothing is left to do

const waiting = [], workers = new Set();
const countWorkers = () => Math.max(1, Math.min(MAX_WORKERS, navigator.hardwareConcurrency || 2));

function submit(job) {
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

// Ends a worker, and with an error what waits for it.
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

// Starts the first worker before it is needed: the kernels are compiled while pictures and weights are under way.
function warm() {
  if (workers.size) return;
  start().then(worker => {
    rest(worker);
    assign();
  }, () => {});  // told with the first picture
}

let policy;
function trusted(address) {  // pages that require Trusted Types
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

// ---- the picture, tile by tile

async function assemble(decoded, network, common, width, height, signal) {
  let pixels = new Uint8Array(4 * width * height), isNeutral = true;
  const places = tiles(decoded.width, decoded.height, network?.header);
  await all(places.map(async place => {
    const tile = { ...common, ...windowOf(place, common.scale, width, height) };
    const make = async () => ({ tile, bitmap: await createImageBitmap(decoded, place.x.from, place.y.from, tile.columns, tile.rows) });
    const found = await submit({ make, network, signal });
    isNeutral &&= found.isNeutral;
    const row = 4 * tile.width, start = 4 * (place.y.keep * common.scale * width + place.x.keep * common.scale);
    for (let y = 0; y < tile.height; y++) {
      pixels.set(found.pixels.subarray(y * row, (y + 1) * row), start + 4 * y * width);
    }
  }));
  signal?.throwIfAborted();
  if (isNeutral && !common.isGrey && network) {
    ({ pixels } = await submit({ make: () => ({ grey: pixels.buffer }), signal }));
  }
  return { pixels, width, height };
}

// All of them ended, before an error of one is told: no tile outlives its picture.
async function all(promises) {
  for (const { status, reason } of await Promise.allSettled(promises)) if (status === "rejected") throw reason;
}

// Windows of the decoded picture with the network's reach around them, small enough for the memory of a worker: the
// grid that takes the least time.
function tiles(width, height, header) {
  const { multiple, radius, unit, floats } = header ?? { multiple: 1, radius: 2, unit: 1, floats: 8 };
  const halo = Math.ceil(radius / multiple) * multiple, workers = countWorkers();
  const most = MEMORY / workers / (4 * floats) * unit * unit, border = 8 * unit, least = 4 * multiple;
  let lowest = Infinity, grid;
  for (let columns = 1; columns <= Math.max(1, Math.min(MAX_COLUMNS, width / least)); columns++) {
    const x = spans(width, columns, multiple, halo), across = widest(x), tall = most / (across + border) - border;
    const fewest = height <= tall ? 1 : Math.ceil(height / Math.max(least, tall - 2 * halo - multiple));
    for (const rows of new Set([fewest, Math.max(fewest, Math.ceil(workers / columns))])) {
      const y = spans(height, rows, multiple, halo), area = across * widest(y);
      const isLarge = (across + border) * (widest(y) + border) > most;
      const cost = Math.ceil(x.length * y.length / workers) * area + x.length * y.length * TILE_COST + 1e12 * isLarge;
      if (cost < lowest) [lowest, grid] = [cost, { x, y }];
    }
  }
  return grid.y.flatMap(y => grid.x.map(x => ({ x, y })));
}

const widest = parts => Math.max(...parts.map(({ from, to }) => to - from));

function spans(length, count, multiple, halo) {
  const size = Math.ceil(Math.ceil(length / count) / multiple) * multiple, result = [];
  for (let keep = 0; keep < length; keep += size) {
    const end = Math.min(length, keep + size);
    result.push({ keep, end, from: Math.max(0, keep - halo), to: Math.min(length, end + halo) });
  }
  return result;
}

function windowOf({ x, y }, scale, width, height) {
  return {
    rows: y.to - y.from, columns: x.to - x.from, top: scale * (y.keep - y.from), left: scale * (x.keep - x.from),
    height: Math.min(height, scale * y.end) - scale * y.keep, width: Math.min(width, scale * x.end) - scale * x.keep,
  };
}

// ---- <img data-restore>

const seen = new Map();  // pictures in view, each with what cancels its restoring, if it has begun

function watch() {
  const canRestoreHere = ["WebAssembly", "Worker", "OffscreenCanvas", "DecompressionStream", "IntersectionObserver"]
    .every(name => name in globalThis);
  const isSaving = navigator.connection?.saveData || matchMedia("(prefers-reduced-data: reduce)").matches;
  if (!canRestoreHere || isSaving) return;
  warm();
  const visible = new IntersectionObserver(entries => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting && !seen.has(target)) seen.set(target, null);
      if (!isIntersecting) { seen.get(target)?.abort(); seen.delete(target); }
    }
    advance();
  });
  const find = root => {
    for (const image of root.querySelectorAll("img[data-restore]")) {
      visible.observe(image);
      image.addEventListener("load", advance);
    }
  };
  find(document);
  new MutationObserver(records => {
    if (records.some(record => record.addedNodes.length)) find(document);
  }).observe(document, { childList: true, subtree: true });
}

const area = image => image.clientWidth * image.clientHeight;
const isWaiting = image => image.dataset.restore === "" && image.complete && image.naturalWidth > 0 && !image.closest("picture");

// One picture at a time, the largest in view first.
async function advance() {
  if ([...seen.values()].some(Boolean)) return;
  const [image] = [...seen.keys()].filter(isWaiting).sort((one, other) => area(other) - area(one));
  if (!image) return;
  const control = new AbortController();
  seen.set(image, control);
  try {
    await replace(image, control.signal);
    image.dataset.restore = "done";
  } catch (error) {
    if (!control.signal.aborted) image.dataset.restore = "plain";
    image.dispatchEvent(new CustomEvent("restorefailed", { bubbles: true, detail: error }));
  }
  if (seen.has(image)) seen.set(image, null);
  advance();
}

async function replace(image, signal) {
  const plain = image.currentSrc, { pixels, width, height } = await render(plain, signal);
  const address = URL.createObjectURL(new Blob([bitmapHeader(width, height), pixels], { type: "image/bmp" }));
  const shown = new Image();
  shown.src = address;
  try {
    await shown.decode();  // refused where the page's policy has no `img-src blob:`: the plain picture stays
    if (image.currentSrc !== plain) throw new Error("the page shows another picture by now");
    image.removeAttribute("srcset");
    const loaded = new Promise(resolve => image.addEventListener("load", resolve, { once: true }));
    image.src = address;
    await loaded;
  } finally {
    URL.revokeObjectURL(address);
  }
}

// Header of an uncompressed picture of 32 bits a pixel, first row first, in the order red, green, blue.
function bitmapHeader(width, height) {
  const header = new DataView(new ArrayBuffer(66));
  header.setUint16(0, 0x424d);
  [[2, 66 + 4 * width * height], [10, 66], [14, 40], [18, width], [22, -height], [26, 1 | 32 << 16], [30, 3],
    [34, 4 * width * height], [54, 0xff], [58, 0xff00], [62, 0xff0000]].forEach(([at, value]) => header.setInt32(at, value, true));
  return header.buffer;
}

watch();
