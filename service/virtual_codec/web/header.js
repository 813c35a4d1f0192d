// Header of this project's streams: eleven bytes, the same in all formats.

import { hex } from "./bytes.js";

export function unpack(body) {
  let crc = 0;
  for (const byte of body.subarray(0, -1)) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = crc & 0x80 ? crc << 1 ^ 0x107 : crc << 1;
  }
  const flags = body[4] & 15, scale = (body[5] >> 4) + 1, right = (body[5] >> 2 & 3) + 1, below = (body[5] & 3) + 1;
  const isSound = body.length === 11 && crc === body[10] && body[4] >> 4 === 1 && flags < 8 && scale <= 2
    && right <= scale && below <= scale;
  if (!isSound) throw badHeader();
  const model = hex(body.subarray(6, 10));
  return { model, scale, right, below, flags, isPlain: Boolean(flags & 1) };
}

export const badHeader = () => new Error("the stream's VCDC segment is damaged, or of a version from the future");
