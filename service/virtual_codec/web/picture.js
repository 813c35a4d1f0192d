// Restoring of one file: read, parse, decode by the browser, restore.

import { joined } from "./bytes.js";
import { CODEC_MODEL, HERE, MODEL, get, load } from "./files.js";
import { parseJpeg } from "./jpeg.js";
import { assemble } from "./tiles.js";
import { warm } from "./workers.js";

const MAX_PIXELS = 50e6;

export async function render(source, signal) {
  warm();
  const bytes = await read(source, signal);
  const file = await parse(bytes);
  const { own } = file;
  const scale = own ? own.scale : 1;
  const isPlain = own ? own.isPlain : !file.canImprove;
  const loading = isPlain ? null : load(`${own ? own.model : file.type === "image/jpeg" ? MODEL : CODEC_MODEL}-${scale}`, signal);
  loading?.catch(() => {});  // `await loading` below reports the error
  const decoded = await decode(bytes, file, signal);
  try {
    const network = await loading;
    const width = own ? scale * (decoded.width - 1) + own.right : decoded.width;
    const height = own ? scale * (decoded.height - 1) + own.below : decoded.height;
    if (width * height > MAX_PIXELS) throw new Error("the picture is too large to be restored here");
    const { isGrey, meansGrey, keepsLuma, condition } = file;
    return await assemble(decoded, network, { scale, isPlain, isGrey, meansGrey, keepsLuma, condition }, width, height, signal);
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

async function parse(bytes) {
  const starts = (text, at) => [...text].every((letter, i) => bytes[at + i] === letter.charCodeAt());
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return parseJpeg(bytes);
  const isWebp = starts("RIFF", 0) && starts("WEBP", 8);
  if (!isWebp && !starts("ftyp", 4)) throw new Error("not a JPEG, WebP or AVIF");
  const { parseAvif, parseWebp } = await import(new URL("codecs.js", HERE));
  return isWebp ? parseWebp(bytes) : parseAvif(bytes);
}

async function decode(bytes, file, signal) {
  const picture = file.kept && file.own ? joined(file.kept.map(([start, end]) => bytes.subarray(start, end))) : bytes;
  const options = file.own ? { colorSpaceConversion: "none", premultiplyAlpha: "none" } : {};
  const bitmap = await createImageBitmap(new Blob([picture], { type: file.type }), options);
  if (signal?.aborted) bitmap.close();
  signal?.throwIfAborted();
  return bitmap;
}
