// 16-bit WAV files of any rate and number of channels, as the server makes.

const RIFF = 0x52494646; // "RIFF"
const WAVE = 0x57415645; // "WAVE"
const FMT = 0x666d7420; // "fmt "
const DATA = 0x64617461; // "data"
const HEADER = 44; // bytes

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

/**
 * Encodes a file.
 * @param {number} rate sampling rate in Hz
 * @param {Float32Array[]} channels samples; those beyond [-1, 1] are clipped
 * @returns {ArrayBuffer}
 */
export function encode(rate, channels) {
  const frame = 2 * channels.length; // bytes
  const size = frame * channels[0].length;
  const view = new DataView(new ArrayBuffer(HEADER + size));
  view.setUint32(0, RIFF);
  view.setUint32(4, HEADER - 8 + size, true);
  view.setUint32(8, WAVE);
  view.setUint32(12, FMT);
  view.setUint32(16, 16, true); // bytes of the format
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, channels.length, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * frame, true);
  view.setUint16(32, frame, true);
  view.setUint16(34, 16, true); // bits a sample
  view.setUint32(36, DATA);
  view.setUint32(40, size, true);
  let at = HEADER;
  for (let i = 0; i < channels[0].length; i += 1) {
    for (const channel of channels) {
      const sample = Math.round(channel[i] * 32768);
      view.setInt16(at, Math.min(Math.max(sample, -32768), 32767), true);
      at += 2;
    }
  }
  return view.buffer;
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
