// Restoring of a picture by tiles.

import { countWorkers, submit } from "./workers.js";

// Bytes of all workers' feature maps, fixed cost of a tile in pixels, and the largest number of columns.
const MEMORY = 80e6, TILE_COST = 2 ** 14, MAX_COLUMNS = 64;

export async function assemble(decoded, network, common, width, height, signal) {
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

// Waits for all promises before it throws an error of one, so that no tile outlives its picture.
async function all(promises) {
  for (const { status, reason } of await Promise.allSettled(promises)) if (status === "rejected") throw reason;
}

// Grid of windows of the decoded picture, with the network's radius around them, of least estimated time. The windows
// fit into the memory of a worker.
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
