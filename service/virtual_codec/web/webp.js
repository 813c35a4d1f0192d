// Parser of WebP: chunks, and the quantiser of a lossy file (VP8 key frame, RFC 6386).

import { unpack } from "./header.js";
import { described, interpolate } from "./quantisation.js";

// Every sixteenth entry of RFC 6386's dc_qlookup and ac_qlookup, and the last.
const VP8_INDICES = [0, 16, 32, 48, 64, 80, 96, 112, 127];
const VP8_DC = [4, 18, 29, 44, 59, 75, 91, 122, 157], VP8_AC = [4, 20, 36, 52, 78, 110, 155, 213, 284];
const VP8_GAIN = 2;

export function parseWebp(bytes) {
  const chunks = chunksOf(bytes), bodies = name => chunks.filter(chunk => chunk.name === name).map(chunk => chunk.body);
  const [extended] = bodies("VP8X"), headers = bodies("VCDC"), [lossy] = bodies("VP8 ");
  if (extended && extended[0] & 0x12) throw new Error("transparent and animated WebPs are not restored here");
  if (headers.length > 1) throw new Error("the stream has several headers");
  const own = headers.length ? unpack(headers[0]) : null;
  const found = lossy ? vp8Quantisation(lossy) : { luma: [1, 1], chroma: [1, 1], isSubsampled: false, isLossless: true };
  if (!found || !chunks.length) throw new Error("the WebP is damaged or truncated");
  return described("image/webp", found, own);
}

function chunksOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), chunks = [];
  if (bytes.length < 12) return chunks;
  const end = Math.min(bytes.length, 8 + view.getUint32(4, true));
  for (let at = 12; at + 8 <= end;) {
    const stop = at + 8 + view.getUint32(at + 4, true);
    if (stop > end) break;
    chunks.push({ name: String.fromCharCode(...bytes.subarray(at, at + 4)), body: bytes.subarray(at + 8, stop) });
    at = stop + stop % 2;
  }
  return chunks;
}

function vp8Quantisation(body) {
  if (body.length < 12 || body[0] & 1 || body[3] !== 0x9d || body[4] !== 1 || body[5] !== 0x2a) return null;
  const bits = evenBits(body.subarray(10, 138));
  bits.read(2);
  const segments = bits.read(1) ? readSegments(bits) : null;
  bits.read(1);
  const filterLevel = bits.read(6);
  bits.read(3);
  if (bits.read(1) && bits.read(1)) for (let i = 0; i < 8; i++) bits.optional(6);
  bits.read(2);
  const index = bits.read(7), [lumaDc, , , chromaDc, chromaAc] = Array.from({ length: 5 }, () => bits.optional(4));
  const used = segments?.quantisers?.map(each => segments.isAbsolute ? each : index + each) ?? [index];
  const mean = (table, delta) => 2 ** (used.map(each => Math.log2(interpolate(each + delta, VP8_INDICES, table)))
    .reduce((sum, value) => sum + value, 0) / used.length) / VP8_GAIN;
  return { luma: [mean(VP8_DC, lumaDc), mean(VP8_AC, 0)], chroma: [mean(VP8_DC, chromaDc), mean(VP8_AC, chromaAc)], isSubsampled: true, filterLevel };
}

function readSegments(bits) {
  const hasMap = bits.read(1), hasValues = bits.read(1);
  let quantisers = null, isAbsolute = false;
  if (hasValues) {
    isAbsolute = bits.read(1) === 1;
    quantisers = Array.from({ length: 4 }, () => bits.optional(7));
    for (let i = 0; i < 4; i++) bits.optional(6);
  }
  if (hasMap) for (let i = 0; i < 3; i++) if (bits.read(1)) bits.read(8);
  return { quantisers, isAbsolute };
}

// Boolean decoder of RFC 6386 (7.3), for fields whose bits have a probability of one half.
function evenBits(bytes) {
  let at = 2, value = bytes[0] << 8 | bytes[1], range = 255, shifts = 0;
  const bit = () => {
    const split = 1 + ((range - 1) * 128 >> 8), isOne = value >= split << 8;
    range = isOne ? range - split : split;
    if (isOne) value -= split << 8;
    for (; range < 128; range <<= 1) {
      value <<= 1;
      if (++shifts === 8) {
        shifts = 0;
        value |= bytes[at++] ?? 0;
      }
    }
    return +isOne;
  };
  const read = count => Array.from({ length: count }, bit).reduce((value, next) => 2 * value + next, 0);
  const optional = count => {
    if (!bit()) return 0;
    const value = read(count);
    return bit() ? -value : value;
  };
  return { read, optional };
}
