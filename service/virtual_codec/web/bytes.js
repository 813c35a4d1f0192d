// Conversion of bytes: to hexadecimal text, to numbers, and several arrays to one.

export const hex = bytes => Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("");

export function number(bytes, at, size) {
  let value = 0;
  for (let i = at; i < at + size; i++) value = 256 * value + (bytes[i] ?? 0);
  return value;
}

// Joins arrays in a loop, because Firefox cannot decode a picture from a Blob of several parts.
export function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return whole;
}
