// Condition of the network for WebP and AVIF, from the steps of a file's quantiser.

const FINE_STEP = 2.5;  // step below which foreign pictures are shown as decoded

/** Result of a parser. `luma` and `chroma` are the steps of the lowest frequency and of the others. */
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

/** Linear interpolation at `index` between values at rising `places`; constant outside of them. */
export function interpolate(index, places, values) {
  if (index <= places[0]) return values[0];
  const right = places.findIndex(place => place >= index);
  if (right < 0) return values.at(-1);
  const share = (index - places[right - 1]) / (places[right] - places[right - 1]);
  return values[right - 1] + share * (values[right] - values[right - 1]);
}
