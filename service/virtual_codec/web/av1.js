// Parser of the quantiser of an AV1 key frame (AV1 Bitstream & Decoding Process Specification, 5.5 and 5.9).

import { interpolate } from "./quantisation.js";

// Every sixteenth entry of Dc_Qlookup and Ac_Qlookup for 8-bit pictures, and the last.
const AV1_INDICES = [...Array.from({ length: 16 }, (_, k) => 16 * k), 255];
const AV1_DC = [7, 20, 34, 48, 61, 74, 87, 111, 140, 177, 223, 280, 349, 435, 559, 796, 1336];
const AV1_AC = [7, 23, 39, 55, 71, 87, 104, 136, 176, 231, 305, 408, 550, 743, 1007, 1369, 1828];
const AV1_GAIN = 8, SELECT = 2, MOST_HEAD = 4096, MOST_UNITS = 64, MOST_TILES = 64;

export function av1Quantisation(data) {
  let sequence = null;
  try {
    for (const { kind, payload } of units(data)) {
      if (kind === 1) sequence = readSequence(bitsOf(payload));
      else if ((kind === 3 || kind === 6) && sequence) return readFrame(bitsOf(payload), sequence);
    }
  } catch (error) {
    if (error !== END) throw error;
  }
  return null;
}

const END = new Error("the headers end too early");

function* units(data) {
  for (let at = 0, count = 0; at < data.length && count < MOST_UNITS; count++) {
    const head = data[at];
    at += head & 4 ? 2 : 1;
    let size = data.length - at;
    if (head & 2) {
      size = 0;
      for (let place = 0; ; place++) {
        if (place === 8 || at >= data.length) throw END;
        const byte = data[at++];
        size += (byte & 0x7f) * 2 ** (7 * place);
        if (!(byte & 0x80)) break;
      }
    }
    yield { kind: head >> 3 & 15, payload: data.subarray(at, at + size) };
    at += size;
  }
}

function bitsOf(payload) {
  const data = payload.subarray(0, MOST_HEAD);
  let at = 0;
  const read = count => {
    if (at + count > 8 * data.length) throw END;
    let value = 0;
    for (; count > 0; count--, at++) value = 2 * value + (data[at >> 3] >> 7 - (at & 7) & 1);
    return value;
  };
  const flag = () => read(1) === 1;
  const delta = () => {
    const value = flag() ? read(7) : 0;
    return value > 63 ? value - 128 : value;
  };
  const below = limit => {  // ns(n)
    const width = Math.floor(Math.log2(limit)) + 1, spare = 2 ** width - limit, value = read(width - 1);
    return value < spare ? value : 2 * value - spare + read(1);
  };
  return { read, flag, delta, below };
}

function readSequence({ read, flag }) {
  const profile = read(3);
  read(1);
  const isReduced = flag();
  if (isReduced) read(5);
  else if (!passOperatingPoints({ read, flag })) return null;
  const sizeBits = [read(4) + 1, read(4) + 1], width = read(sizeBits[0]) + 1, height = read(sizeBits[1]) + 1;
  const frameIdBits = !isReduced && flag() ? read(4) + read(3) + 3 : 0, superblock = flag() ? 128 : 64;
  read(2);
  const [screenContent, integerMv, orderHintBits] = isReduced ? [SELECT, SELECT, 0] : readTools({ read, flag });
  const hasSuperres = flag();
  read(2);
  return {
    isReduced, width, height, sizeBits, frameIdBits, orderHintBits, superblock, hasSuperres, screenContent, integerMv,
    colour: readColour({ read, flag }, profile),
  };
}

function passOperatingPoints({ read, flag }) {
  if (flag()) return false;
  const hasDelay = flag();
  for (let left = read(5); left >= 0; left--) {
    read(12);
    if (read(5) > 7) read(1);
    if (hasDelay && flag()) read(4);
  }
  return true;
}

function readTools({ read, flag }) {
  read(4);
  const hasOrder = flag();
  if (hasOrder) read(2);
  const screenContent = flag() ? SELECT : read(1);
  const integerMv = !screenContent || flag() ? SELECT : read(1);
  return [screenContent, integerMv, hasOrder ? read(3) + 1 : 0];
}

function readColour({ read, flag }, profile) {
  const isDeep = flag(), isTwelve = profile === 2 && isDeep && flag(), isGrey = profile !== 1 && flag();
  const points = flag() ? [read(8), read(8), read(8)] : [2, 2, 2];
  if (isGrey) {
    read(1);
    return { isGrey, isSubsampled: false, hasSeparateChroma: false };
  }
  if (String(points) === "1,13,0") return { isGrey, isSubsampled: false, hasSeparateChroma: flag() };
  read(1);
  let across = profile !== 1, down = profile === 0;
  if (isTwelve) {
    across = flag();
    down = across && flag();
  }
  if (across && down) read(2);
  return { isGrey, isSubsampled: across, hasSeparateChroma: flag() };
}

function readFrame(bits, sequence) {
  const size = readStart(bits, sequence);
  if (!size) return null;
  passTiles(bits, ...size, sequence.superblock);
  const { isGrey, isSubsampled, hasSeparateChroma } = sequence.colour;
  const index = bits.read(8), lumaDc = bits.delta();
  let chromaDc = 0, chromaAc = 0;
  if (!isGrey) {
    if (hasSeparateChroma) bits.read(1);
    [chromaDc, chromaAc] = [bits.delta(), bits.delta()];
  }
  const step = (table, place) => interpolate(place, AV1_INDICES, table) / AV1_GAIN;
  return {
    luma: [step(AV1_DC, index + lumaDc), step(AV1_AC, index)],
    chroma: [step(AV1_DC, index + chromaDc), step(AV1_AC, index + chromaAc)],
    isSubsampled, isGrey, isLossless: !(index || lumaDc || chromaDc || chromaAc),
  };
}

// Reads the header of a shown key frame up to its size; null for another frame.
function readStart({ read, flag }, sequence) {
  const { isReduced, hasSuperres } = sequence;
  if (!isReduced && (flag() || read(2) !== 0 || !flag())) return null;
  const keepsStatistics = flag();
  const screenContent = sequence.screenContent === SELECT ? read(1) : sequence.screenContent;
  if (screenContent && sequence.integerMv === SELECT) read(1);
  let { width, height } = sequence;
  if (!isReduced) {
    read(sequence.frameIdBits);
    const hasOwnSize = flag();
    read(sequence.orderHintBits);
    if (hasOwnSize) [width, height] = sequence.sizeBits.map(count => read(count) + 1);
  }
  const isReducedAcross = hasSuperres && flag();
  if (isReducedAcross) {
    const denominator = read(3) + 9;
    width = Math.floor((width * 8 + Math.floor(denominator / 2)) / denominator);
  }
  if (flag()) read(32);
  if (screenContent && !isReducedAcross) read(1);
  if (!isReduced && !keepsStatistics) read(1);
  return [width, height];
}

function passTiles(bits, width, height, superblock) {
  const [across, down] = [width, height].map(side => Math.ceil(8 * Math.ceil(side / 8) / superblock));
  const widest = 4096 / superblock, largest = 4096 * 2304 / superblock ** 2;
  const leastAcross = doublings(widest, across), least = Math.max(leastAcross, doublings(largest, across * down));
  let columns, rows;
  if (bits.flag()) {
    columns = countUp(bits, leastAcross, doublings(1, Math.min(across, MOST_TILES)));
    rows = countUp(bits, Math.max(least - columns, 0), doublings(1, Math.min(down, MOST_TILES)));
  } else {
    const [count, broadest] = passSizes(bits, across, widest);
    columns = doublings(1, count);
    const area = across * down >> (least ? least + 1 : 0);
    rows = doublings(1, passSizes(bits, down, Math.max(Math.floor(area / broadest), 1))[0]);
  }
  if (columns || rows) bits.read(rows + columns + 2);
}

function countUp(bits, least, most) {
  while (least < most && bits.flag()) least++;
  return least;
}

function passSizes(bits, total, most) {
  let start = 0, count = 0, broadest = 0;
  for (; start < total; count++) {
    const size = bits.below(Math.min(total - start, most)) + 1;
    start += size;
    broadest = Math.max(broadest, size);
  }
  return [count, broadest];
}

const doublings = (unit, target) => Math.max(0, Math.ceil(Math.log2(target / unit)));
