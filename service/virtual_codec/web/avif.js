// Parser of AVIF: boxes, and the AV1 data of the picture (ISO/IEC 14496-12, 23008-12).

import { av1Quantisation } from "./av1.js";
import { hex, joined, number } from "./bytes.js";
import { unpack } from "./header.js";
import { described } from "./quantisation.js";

const OUR_UUID = "8d3b5f0e6c1947a2b5e4566364630001", NCLX = 0x6e636c78, MOST_BOXES = 4096, MOST_EXTENTS = 64, MOST_START = 65536;

export function parseAvif(bytes) {
  const file = [...boxesOf(bytes, 0, bytes.length)], headers = [];
  for (const { kind, start, end } of file) {
    if (kind === "uuid" && hex(bytes.subarray(start, Math.min(start + 16, end))) === OUR_UUID) headers.push(bytes.subarray(start + 16, end));
  }
  if (headers.length > 1) throw new Error("the stream has several headers");
  if (file.some(({ kind }) => kind === "moov")) throw new Error("animated AVIFs are not restored here");
  const own = headers.length ? unpack(headers[0]) : null, meta = file.find(({ kind }) => kind === "meta");
  if (isHighRange(bytes, meta)) throw new Error("AVIFs of high dynamic range are not restored here");
  const picture = primaryPicture(bytes, meta), found = picture && av1Quantisation(picture);
  if (!found) throw new Error("the AVIF is damaged, or its quantiser is not stated");
  return described("image/avif", found, own);
}

function* boxesOf(bytes, start, end) {
  for (let count = 0; count < MOST_BOXES && start + 8 <= end; count++) {
    let size = number(bytes, start, 4), head = 8;
    if (size === 1) [size, head] = [number(bytes, start + 8, 8), 16];
    else if (size === 0) size = end - start;
    if (size < head || start + size > end) return;
    yield { kind: String.fromCharCode(...bytes.subarray(start + 4, start + 8)), start: start + head, end: start + size };
    start += size;
  }
}

// True if a picture states the transfer function PQ or HLG.
function isHighRange(bytes, meta) {
  let [within] = meta ? [[...boxesOf(bytes, meta.start + 4, meta.end)]] : [[]];
  for (const name of ["iprp", "ipco"]) {
    const box = within.find(({ kind }) => kind === name);
    within = box ? [...boxesOf(bytes, box.start, box.end)] : [];
  }
  return within.some(({ kind, start }) => kind === "colr" && number(bytes, start, 4) === NCLX
    && [16, 18].includes(number(bytes, start + 6, 2)));
}

// Data of the primary item, or of its first tile if it is a grid.
function primaryPicture(bytes, meta) {
  if (!meta) return null;
  const parts = Object.fromEntries([...boxesOf(bytes, meta.start + 4, meta.end)].map(box => [box.kind, box]));
  if (!parts.pitm || !parts.iloc) return null;
  let item = number(bytes, parts.pitm.start + 4, bytes[parts.pitm.start] > 0 ? 4 : 2);
  if (parts.iref) {
    const width = bytes[parts.iref.start] > 0 ? 4 : 2;
    const references = [...boxesOf(bytes, parts.iref.start + 4, parts.iref.end)];
    if (references.some(({ kind }) => kind === "auxl")) throw new Error("transparent AVIFs are not restored here");
    const grid = references.find(({ kind, start }) => kind === "dimg" && number(bytes, start, width) === item);
    if (grid) item = number(bytes, grid.start + width + 2, width);
  }
  return itemData(bytes, parts.iloc, parts.idat, item);
}

function itemData(bytes, locations, data, wanted) {
  let at = locations.start + 6;
  const take = size => { at += size; return number(bytes, at - size, size); };
  const version = bytes[locations.start], sizes = number(bytes, locations.start + 4, 2);
  const isIndexed = version === 1 || version === 2, idBytes = version === 2 ? 4 : 2;
  const [offsetBytes, lengthBytes, baseBytes, index] = [12, 8, 4, 0].map(shift => sizes >> shift & 15);
  for (let left = Math.min(take(idBytes), MOST_BOXES); left > 0 && at < locations.end; left--) {
    const item = take(idBytes), origin = isIndexed && (take(2) & 15) === 1 && data ? data.start : 0;
    at += 2;  // skips the data reference, which is this file
    const base = take(baseBytes), extents = [];
    for (let count = Math.min(take(2), MOST_EXTENTS); count > 0; count--) {
      if (isIndexed) at += index;
      const start = origin + base + take(offsetBytes);
      extents.push(bytes.subarray(start, start + take(lengthBytes)));
    }
    if (item === wanted) return joined(extents.map(part => part.subarray(0, MOST_START)));  // long enough for the headers
  }
  return null;
}
