// Fetching of files that never change: once each, and again after a failure.

export const MODEL = "@MODEL@", CODEC_MODEL = "@CODEC_MODEL@";  // of foreign JPEGs, and of foreign WebPs and AVIFs
export const HERE = new URL("@VERSION@/", import.meta.url);

export async function get(address, signal) {
  const response = await fetch(address, { signal });
  if (!response.ok) throw new Error(`status ${response.status} for ${address}`);
  return response;
}

const files = new Map();

function once(name, make) {
  if (!files.has(name)) {
    const file = make(name);
    files.set(name, file);
    file.catch(() => files.delete(name));
  }
  return files.get(name);
}

export const fetched = name => once(name, async () => (await get(new URL(name, HERE))).arrayBuffer());

export async function load(model, signal) {
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
