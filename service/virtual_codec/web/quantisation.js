// What the network of WebP and AVIF is told of a file: the steps of its quantiser.

const FINE_STEP = 2.5;  // below which other encoders' pictures are shown as decoded

/** What `parse` of a format returns. `luma` and `chroma` are steps of the lowest frequency and of the others. */
export function described(type, { luma, chroma, isSubsampled, isGrey = false, filterLevel = 0, isLossless = false }, own) {
  if (own && (own.scale !== 1 || own.flags & 4 && isGrey)) throw new Error("the stream carries a header that does not belong to its picture");
  const steps = [luma, chroma].flatMap(([lowest, others]) => [lowest, ...Array(6).fill(others)]);
  const meansGrey = Boolean(own && own.flags & 4), isNoColour = isGrey || meansGrey;
  const flags = [isSubsampled, false, isGrey, type === "image/avif", type === "image/webp", false];
  return {
    type, kept: null, own, isGrey: isNoColour, meansGrey, keepsLuma: false, canImprove: !isLossless && luma[1] >= FINE_STEP,
    condition: [...steps.map(step => (Math.log2(Math.max(step, 0.5)) - 4) / 2), ...flags.map(Number), filterLevel / 32],
  };
}

/** Value at an index of a line through points of rising `places`; the ends go on level. */
export function interpolate(index, places, values) {
  if (index <= places[0]) return values[0];
  const right = places.findIndex(place => place >= index);
  if (right < 0) return values.at(-1);
  const share = (index - places[right - 1]) / (places[right] - places[right - 1]);
  return values[right - 1] + share * (values[right] - values[right - 1]);
}
