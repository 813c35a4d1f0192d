// Restoring in place of every <img data-restore> that is in view.

import { render } from "./picture.js";
import { warm } from "./workers.js";

const seen = new Map();  // picture in view -> AbortController of its restoring, or null

export function watch() {
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

// Restores the pictures in view one after another, the largest first.
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
    await shown.decode();  // fails if the page's policy lacks `img-src blob:`; the plain picture stays
    if (image.currentSrc !== plain) throw new Error("the page shows another picture by now");
    image.removeAttribute("srcset");
    const loaded = new Promise(resolve => image.addEventListener("load", resolve, { once: true }));
    image.src = address;
    await loaded;
  } finally {
    URL.revokeObjectURL(address);
  }
}

// Header of an uncompressed BMP of 32 bits per pixel, rows from top to bottom, channels red, green, blue.
function bitmapHeader(width, height) {
  const header = new DataView(new ArrayBuffer(66));
  header.setUint16(0, 0x424d);
  [[2, 66 + 4 * width * height], [10, 66], [14, 40], [18, width], [22, -height], [26, 1 | 32 << 16], [30, 3],
    [34, 4 * width * height], [54, 0xff], [58, 0xff00], [62, 0xff0000]].forEach(([at, value]) => header.setInt32(at, value, true));
  return header.buffer;
}
