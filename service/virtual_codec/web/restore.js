// Restores streams of virtual-codec, and other JPEGs, WebPs and AVIFs, in the visitor's browser.
//
//     import { restore } from "https://images.example/web/restore.js";
//     const picture = await restore("/photo.vc.jpg");  // ImageData
//
// The import also restores every <img data-restore> in place. If that fails, the plain picture stays.

import { watch } from "./page.js";
import { render } from "./picture.js";

/**
 * Restored picture of a stream or of any other JPEG, WebP or AVIF.
 *
 * @param {string | URL | Blob | ArrayBuffer | ArrayBufferView} source address or content of the file
 * @param {{signal?: AbortSignal}} [options]
 * @returns {Promise<ImageData>} rejected if the file is damaged or this browser cannot restore it
 */
export async function restore(source, { signal } = {}) {
  const { pixels, width, height } = await render(source, signal);
  return new ImageData(new Uint8ClampedArray(pixels.buffer), width, height);
}

watch();
