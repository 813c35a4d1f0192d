// Worker of restore.js: restores one tile at a time, from pixels to pixels. It is started from a blob URL.
"use strict";

const CANVAS = new OffscreenCanvas(16, 16);
const CONTEXT = CANVAS.getContext("2d", { willReadFrequently: true, alpha: false });
let network = null;

// Checks that a canvas returns the pixels drawn on it. Some browsers add noise against fingerprinting, and then nothing
// can be restored.
async function checkCanvas() {
  const known = new ImageData(16, 16);
  known.data.forEach((_, i, all) => { all[i] = i % 4 === 3 ? 255 : (i * 89 + (i >> 3) * 31) & 255; });
  const found = read(await createImageBitmap(known));
  if (known.data.some((value, i) => value !== found[i])) {
    throw new Error("this browser changes the pixels that a page reads");
  }
}

function read(bitmap) {
  const { width, height } = bitmap;
  if (CANVAS.width !== width || CANVAS.height !== height) Object.assign(CANVAS, { width, height });
  CONTEXT.drawImage(bitmap, 0, 0);
  bitmap.close();
  return CONTEXT.getImageData(0, 0, width, height).data;
}

// Kernels with their memory, a bump allocator. Views by `floats` and `bytes` become invalid when the memory grows.
class Kernels {
  constructor(module) {
    this.call = new WebAssembly.Instance(module).exports;
    this.top = this.call.memory.buffer.byteLength;
  }

  allocate(size) {
    const start = this.top, memory = this.call.memory;
    this.top += Math.ceil(size / 16) * 16;
    const missing = this.top - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / 65536));
    return start;
  }

  bytes(start, count) { return new Uint8Array(this.call.memory.buffer, start, count); }
  floats(start, count) { return new Float32Array(this.call.memory.buffer, start, count); }
}

// Post-processing network, run by the list of steps in its weights file (see _weights.py).
class Network {
  constructor(module, file) {
    this.kernels = new Kernels(module);
    const length = new DataView(file).getUint32(0, true);
    Object.assign(this, JSON.parse(new TextDecoder().decode(new Uint8Array(file, 4, length))));
    this.tensors = this.readTensors(new Uint8Array(file, 4 + length));
    const conditioned = new Set(this.blocks().map(([body, index]) => `${body}expand.${index}.weight`));
    this.packed = {};
    this.work = 0;
    for (const [name, { shape }] of Object.entries(this.tensors)) {
      if (shape[0] !== 9) continue;
      const [, cin, cout] = shape;
      this.packed[name] = this.kernels.allocate(4 * 36 * cin * Math.ceil(cout / 8) * 8);
      this.work = Math.max(this.work, this.kernels.call.scratch(cin, cout));
      if (!conditioned.has(name)) this.kernels.call.pack(this.tensors[name].start, 0, this.packed[name], cin, cout);
    }
    this.work = this.kernels.allocate(4 * this.work);
    this.biases = {};
    this.condition = "";
    this.size = "";
    this.base = this.kernels.top;
  }

  blocks() { return this.steps.filter(([op]) => op === "block").map(([, , , body, index]) => [body, index]); }

  readTensors(payload) {
    const { kernels } = this, result = {};
    let position = 0;
    for (const [name, kind, shape] of this.weights) {
      const count = shape.reduce((product, side) => product * side, 1), width = shape.at(-1);
      const size = kind === "half" ? 2 * count : count + 4 * width;
      const start = kernels.allocate(4 * count), source = kernels.allocate(size);
      kernels.bytes(source, size).set(payload.subarray(position, position + size));
      if (kind === "half") kernels.call.halves(source, source + count, start, count);
      else kernels.call.bytes(source + 4 * width, source, start, count, width);
      kernels.top = source;  // frees the packed weights; the floats stay
      result[name] = { start, shape, count };
      position += size;
    }
    return result;
  }

  values(name) {
    const { start, count } = this.tensors[name];
    return this.kernels.floats(start, count);
  }

  // Multiplies the scale and shift that follow from a condition into the weights of the conditioned blocks.
  setCondition(condition) {
    if (this.condition === String(condition)) return;
    for (const body of new Set(this.blocks().map(([owner]) => owner))) {
      const hidden = layer(this.values(`${body}embed.0.weight`), this.values(`${body}embed.0.bias`), condition);
      const film = layer(this.values(`${body}embed.2.weight`), this.values(`${body}embed.2.bias`),
        hidden.map(value => Math.max(0, value)));
      for (const [owner, index] of this.blocks()) if (owner === body) this.fold(body, index, film);
    }
    this.condition = String(condition);
  }

  fold(body, index, film) {
    const { kernels } = this, name = `${body}expand.${index}`;
    const { start, shape: [, cin, cout] } = this.tensors[`${name}.weight`];
    const scale = film.slice(2 * index * cout, (2 * index + 1) * cout).map(value => 1 + value);
    const shift = film.slice((2 * index + 1) * cout, (2 * index + 2) * cout);
    this.biases[name] ??= [kernels.allocate(4 * cout), kernels.allocate(4 * cout)];
    this.base = Math.max(this.base, kernels.top);
    const [bias, scales] = this.biases[name];
    kernels.floats(scales, cout).set(scale);
    kernels.floats(bias, cout).set(this.values(`${name}.bias`).map((value, i) => value * scale[i] + shift[i]));
    kernels.call.pack(start, scales, this.packed[`${name}.weight`], cin, cout);
  }

  // Allocates feature maps of h x w samples at the first level, and room for the pixels.
  setSize(h, w, pixels, result) {
    const size = [h, w, pixels, result].join();
    if (this.size === size) return;
    const { kernels } = this;
    kernels.top = this.base;
    this.at = {};
    this.inUse = new Set();
    const place = name => {
      const [level, channels] = this.maps[name];
      const rows = Math.ceil((h >> level) / 4) * 4 + 2, columns = Math.ceil((w >> level) / 4) * 4 + 2;
      this.at[name] = kernels.allocate(4 * rows * columns * channels);
    };
    for (const name of Object.keys(this.maps)) if (!this.shared.flat().includes(name)) place(name);
    const start = kernels.top, ends = this.shared.map(group => {
      kernels.top = start;
      group.forEach(place);
      return kernels.top;
    });
    kernels.top = Math.max(...ends);
    this.window = kernels.allocate(pixels);
    this.result = kernels.allocate(result);
    this.size = size;
  }

  // Clears the border of a map whose memory another map has used.
  use(name, h, w) {
    if (this.inUse.has(name)) return;
    const [level, channels] = this.maps[name], own = this.shared.find(group => group.includes(name));
    if (own) for (const other of this.shared.flat()) if (!own.includes(other)) this.inUse.delete(other);
    this.kernels.call.clear(this.at[name], h >> level, w >> level, channels);
    this.inUse.add(name);
  }

  run(pixels, tile) {
    const { kernels: { call }, multiple, unit } = this;
    this.setCondition(tile.condition);
    const h = Math.ceil(tile.rows / multiple) * multiple / unit, w = Math.ceil(tile.columns / multiple) * multiple / unit;
    this.setSize(h, w, pixels.length, 4 * tile.height * tile.width);
    this.kernels.bytes(this.window, pixels.length).set(pixels);
    this.use("in", h, w);
    call.input(this.window, tile.rows, tile.columns, this.at.in, h, w, unit);
    for (const [op, from, to, name, index] of this.steps) {
      this.use(to, h, w);
      this[op](from, to, name, index, h, w);
    }
    call.output(this.window, tile.rows, tile.columns, this.at.out, w, unit, tile.top, tile.left, tile.height, tile.width,
      tile.isGrey, this.result);
    return this.kernels.bytes(this.result, 4 * tile.height * tile.width).slice();
  }

  convolve(from, to, weight, bias, mode, h, w) {
    const level = this.maps[from][0], [, cin, cout] = this.tensors[weight].shape;
    this.kernels.call.conv(this.at[from], this.at[to], this.packed[weight], bias, h >> level, w >> level, cin, cout,
      mode, this.work);
  }

  conv(from, to, name, isAdded, h, w) {
    const bias = isAdded ? 0 : this.tensors[`${name}.bias`].start;
    this.convolve(from, to, `${name}.weight`, bias, isAdded ? 2 : 0, h, w);
  }

  block(map, hidden, body, index, h, w) {
    this.convolve(map, hidden, `${body}expand.${index}.weight`, this.biases[`${body}expand.${index}`][0], 1, h, w);
    this.convolve(hidden, map, `${body}reduce.${index}.weight`, this.tensors[`${body}reduce.${index}.bias`].start, 2, h, w);
  }

  shrink(from, to, name, _index, h, w) { this.resample("shrink", from, to, name, h, w); }
  grow(from, to, name, _index, h, w) { this.resample("grow", from, to, name, h, w); }

  resample(kernel, from, to, name, h, w) {
    const level = this.maps[from][0], { start, shape: [, cin, cout] } = this.tensors[`${name}.weight`];
    this.kernels.call[kernel](this.at[from], this.at[to], start, this.tensors[`${name}.bias`].start, h >> level, w >> level,
      cin, cout);
  }
}

function layer(weight, bias, input) {
  return Array.from(bias, (sum, row) => input.reduce((total, value, i) => total + value * weight[row * input.length + i], sum));
}

// Decoded picture without post-processing: cropped, and at scale 2 enlarged by the plain filter.
function plain(module, pixels, tile) {
  const size = 4 * tile.height * tile.width;
  if (tile.scale === 1) {
    const result = new Uint8Array(size);
    for (let row = 0; row < tile.height; row++) {
      const start = 4 * ((tile.top + row) * tile.columns + tile.left);
      result.set(pixels.subarray(start, start + 4 * tile.width), 4 * row * tile.width);
    }
    return result;
  }
  const kernels = new Kernels(module);
  const window = kernels.allocate(pixels.length), half = kernels.allocate(4 * tile.rows * tile.width);
  const result = kernels.allocate(size);
  kernels.bytes(window, pixels.length).set(pixels);
  kernels.call.plain(window, tile.rows, tile.columns, half, tile.top, tile.left, tile.height, tile.width, result);
  return kernels.bytes(result, size).slice();
}

// Gives `restored` the luma of `decoded`, because a network makes the finest luma of foreign files worse.
function keepLuma(restored, decoded) {
  for (let i = 0; i < restored.length; i += 4) {
    const change = 0.299 * (decoded[i] - restored[i]) + 0.587 * (decoded[i + 1] - restored[i + 1])
      + 0.114 * (decoded[i + 2] - restored[i + 2]);
    for (let b = i; b < i + 3; b++) restored[b] = Math.min(255, Math.max(0, Math.round(restored[b] + change)));
  }
}

function toGrey(pixels) {
  for (let i = 0; i < pixels.length; i += 4) {
    pixels.fill(Math.round((pixels[i] + pixels[i + 1] + pixels[i + 2]) / 3), i, i + 3);
  }
}

function isNeutral(pixels) {
  for (let i = 0; i < pixels.length; i += 4) if (pixels[i] !== pixels[i + 1] || pixels[i] !== pixels[i + 2]) return false;
  return true;
}

let prepared = null;  // promise of the compiled kernels; rejected if this browser cannot restore

async function prepare(wasm) {
  const module = await WebAssembly.compile(wasm);
  await checkCanvas();
  return module;
}

async function answer({ weights, bitmap, tile, grey }) {
  if (grey) {
    const pixels = new Uint8Array(grey);
    toGrey(pixels);
    return { pixels };
  }
  const module = await prepared;
  if (weights) network = new Network(module, weights);
  const decoded = read(bitmap);
  if (tile.meansGrey) toGrey(decoded);
  const pixels = tile.isPlain ? plain(module, decoded, tile) : network.run(decoded, tile);
  if (tile.keepsLuma) keepLuma(pixels, plain(module, decoded, tile));
  return { pixels, isNeutral: isNeutral(decoded) };
}

onmessage = async ({ data }) => {
  if (data.wasm) {  // the first message; tiles follow
    prepared = prepare(data.wasm);
    prepared.catch(() => {});  // the first tile reports the error
    return;
  }
  try {
    const result = await answer(data);
    postMessage(result, [result.pixels.buffer]);
  } catch (error) {
    postMessage({ error: String(error.message || error) });
  }
};
