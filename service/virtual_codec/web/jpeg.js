// Parser of JPEG: quantisation tables, the network's condition, and the byte ranges for the decoder.

import { badHeader, unpack } from "./header.js";

const FINE_TABLE = 3.5;  // mean of the luma table below which the luma of foreign JPEGs stays as decoded

export function parseJpeg(bytes) {
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
    // Metadata is removed, because browsers always apply orientation and colour profiles, and the network must not see
    // their effect.
    const isMetadata = marker >= 0xe1 && marker <= 0xef && marker !== 0xee || marker === 0xfe;
    if (!scans && !isMetadata) kept.push([at, end]);
    at = end;
  }
  if (!frame || !scans) throw new Error("the JPEG ends before its picture begins");
  if (headers.length > 1) throw new Error("the stream has several VCDC segments");
  const tables = [...frame.tables.keys()].map(id => used.get(id));
  const isSubsampled = new Set(frame.sampling).size > 1, isGrey = tables.length === 1;
  const own = headers.length ? unpack(headers[0]) : null;
  if (own && !(frame.precision === 8 && own.flags < 4 && (isGrey || tables.length === 3 && !(own.flags & 2)))) throw badHeader();
  const isFine = tables[0]?.reduce((sum, step) => sum + step, 0) / 64 < FINE_TABLE;
  const isKnown = [1, 3].includes(tables.length) && frame.precision === 8 && tables.every(Boolean);
  return {
    type: "image/jpeg", kept, own, isGrey, meansGrey: false, canImprove: isKnown && (!isFine || isSubsampled), keepsLuma: !own && isFine,
    condition: isKnown ? condition(tables, isSubsampled, own) : [],
  };
}

const isStandalone = marker => marker < 2 || marker >= 0xd0 && marker <= 0xd8 || marker === 0xff;

// Condition of the networks: means of log2 of the table entries over bands of rising frequency.
function condition(tables, isSubsampled, own) {
  const last = [0, 1, 2, 3, 5, 8, 14], diagonals = zigzagDiagonals();
  const means = table => last.map((high, band) => {
    const low = band ? last[band - 1] + 1 : 0, inside = table.filter((_, k) => low <= diagonals[k] && diagonals[k] <= high);
    return (inside.reduce((sum, step) => sum + Math.log2(Math.max(step, 1)), 0) / inside.length - 4) / 2;
  });
  return [...means(tables[0]), ...means(tables[1] ?? tables[0]), +isSubsampled, +Boolean(own), +(tables.length === 1)];
}

function zigzagDiagonals() {
  return Array.from({ length: 15 }, (_, d) => Array(d < 8 ? d + 1 : 15 - d).fill(d)).flat();
}
