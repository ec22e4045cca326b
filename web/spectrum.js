// Computes spectrograms by a Fourier transform of each frame.

export const FLOOR = -75; // lowest level shown, in dB re the loudest bin

/**
 * Computes a Fourier transform in place; the length is a power of two.
 * @param {Float64Array} real
 * @param {Float64Array} imag
 */
export function fft(real, imag) {
  const n = real.length;
  for (let i = 1, j = 0; i < n; i += 1) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imag[i], imag[j]] = [imag[j], imag[i]];
    }
  }
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2;
    for (let k = 0; k < half; k += 1) {
      const angle = -2 * Math.PI * k / size;
      const cos = Math.cos(angle);
      const sin = Math.sin(angle);
      for (let i = k; i < n; i += size) {
        const j = i + half;
        const re = real[j] * cos - imag[j] * sin;
        const im = real[j] * sin + imag[j] * cos;
        real[j] = real[i] - re;
        imag[j] = imag[i] - im;
        real[i] += re;
        imag[i] += im;
      }
    }
  }
}

/**
 * Returns the levels of a clip in time and frequency.
 * @param {Float32Array} samples
 * @param {number} frames number of frames
 * @param {number} size samples in a frame, a power of two
 * @returns {Float32Array[]} for each frame, `size / 2` levels, 0 (`FLOOR` or
 *   below) to 1 (the loudest), the lowest frequency first
 */
export function spectrogram(samples, frames, size) {
  const window = Float64Array.from({ length: size }, (_, i) =>
    0.5 - 0.5 * Math.cos(2 * Math.PI * i / size));
  const rows = [];
  let loudest = 1e-9;
  for (let frame = 0; frame < frames; frame += 1) {
    const centre = (frame + 0.5) * samples.length / frames;
    const start = Math.round(centre - size / 2);
    const real = Float64Array.from(window, (w, i) =>
      w * (samples[start + i] ?? 0));
    const imag = new Float64Array(size);
    fft(real, imag);
    const row = Float32Array.from({ length: size / 2 }, (_, bin) =>
      Math.hypot(real[bin], imag[bin]));
    for (const level of row) loudest = Math.max(loudest, level);
    rows.push(row);
  }
  return rows.map((row) => row.map((level) =>
    Math.max(0, 1 - 20 * Math.log10(Math.max(level, 1e-9) / loudest) / FLOOR)));
}
