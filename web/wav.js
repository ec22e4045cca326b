// 16-bit WAV files of any rate and number of channels, as the server makes.

const FMT = 0x666d7420; // "fmt "
const DATA = 0x64617461; // "data"

/**
 * Decodes a file. The browser's own decoder would resample it.
 * @param {ArrayBuffer} file
 * @returns {{rate: number, channels: Float32Array[]}} samples in [-1, 1)
 */
export function decode(file) {
  const view = new DataView(file);
  let count = 0;
  let rate = 0;
  for (let at = 12; at + 8 <= view.byteLength;) {
    const name = view.getUint32(at);
    const size = view.getUint32(at + 4, true);
    at += 8;
    if (name === FMT) {
      count = view.getUint16(at + 2, true);
      rate = view.getUint32(at + 4, true);
    }
    if (name === DATA && count) {
      return { rate, channels: split(view, at, size, count) };
    }
    at += size + (size % 2);
  }
  throw new Error("That is no WAV file.");
}

function split(view, start, size, count) {
  const frames = Math.floor(size / 2 / count);
  const channels = Array.from(
    { length: count }, () => new Float32Array(frames));
  let at = start;
  for (let i = 0; i < frames; i += 1) {
    for (const channel of channels) {
      channel[i] = view.getInt16(at, true) / 32768;
      at += 2;
    }
  }
  return channels;
}
