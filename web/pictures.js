// Draws the waveform and the spectrogram of a clip.

import { spectrogram } from "./spectrum.js";

const WAVE = "#f4b95a";
const FAINT = "#353b45";
// Colours from silence to the loudest level: red, green, blue.
const HEAT = [
  [17, 20, 25], [38, 48, 84], [108, 62, 128], [205, 92, 92], [244, 185, 90],
  [255, 246, 214],
];
const drawn = new WeakMap(); // clip -> its spectrogram, on a canvas

/** Fits a canvas to its size on the screen; returns its drawing context. */
function prepare(canvas) {
  const scale = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * scale));
  const height = Math.max(1, Math.round(canvas.clientHeight * scale));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

/** Draws a waveform: a bar from lowest to highest sample for each column. */
export function drawWave(canvas, clip) {
  const { pen, width, height } = prepare(canvas);
  const { mono } = clip;
  pen.fillStyle = FAINT;
  pen.fillRect(0, Math.floor(height / 2), width, 1);
  pen.fillStyle = WAVE;
  for (let x = 0; x < width; x += 1) {
    const start = Math.floor(x * mono.length / width);
    const stop = Math.max(start + 1, Math.floor((x + 1) * mono.length / width));
    let low = 1;
    let high = -1;
    for (let i = start; i < stop; i += 1) {
      low = Math.min(low, mono[i]);
      high = Math.max(high, mono[i]);
    }
    const top = Math.floor((1 - high) * height / 2);
    const bottom = Math.floor((1 - low) * height / 2);
    pen.fillRect(x, top, 1, Math.max(1, bottom - top));
  }
}

/** Draws a spectrogram, the highest frequency at the top. */
export function drawSpectrogram(canvas, clip) {
  const { pen, width, height } = prepare(canvas);
  if (!drawn.has(clip)) drawn.set(clip, paint(clip));
  pen.imageSmoothingEnabled = true;
  pen.drawImage(drawn.get(clip), 0, 0, width, height);
}

function paint(clip) {
  const frames = 240;
  // About 30 ms: short enough for clicks, long enough for a voice's harmonics.
  const size = 2 ** Math.round(Math.log2(clip.rate * 0.03));
  const rows = spectrogram(clip.mono, frames, size);
  const bins = size / 2;
  const canvas = document.createElement("canvas");
  canvas.width = frames;
  canvas.height = bins;
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(frames, bins);
  rows.forEach((row, x) => row.forEach((level, bin) => {
    const pixel = (bins - 1 - bin) * frames + x;
    image.data.set([...colour(level), 255], pixel * 4);
  }));
  pen.putImageData(image, 0, 0);
  return canvas;
}

function colour(level) {
  const place = level * (HEAT.length - 1);
  const below = Math.min(Math.floor(place), HEAT.length - 2);
  const above = HEAT[below + 1];
  return HEAT[below].map((c, i) => c + (place - below) * (above[i] - c));
}
