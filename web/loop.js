// Renders the loop of the sequencer, as it sounds when it repeats.

import { Player } from "./player.js";
import { STEPS, secondsOfStep } from "./sequencer.js";

/**
 * Renders the loop at the rate of its clips.
 * @param {number[]} steps of each voice; bit i: whether step i plays
 * @param {number} tempo beats a minute
 * @param {Map<number, import("./clips.js").Clip>} clips by voice
 * @param {number} volume factor of all samples; if they would exceed full
 *     scale, all are lower
 * @returns {Promise<{rate: number, channels: Float32Array[]}>} samples in
 *     [-1, 1], of the loop's length
 */
export async function renderLoop(steps, tempo, clips, volume) {
  const [{ buffer: { sampleRate: rate, numberOfChannels } }] = clips.values();
  const frames = Math.round(STEPS * secondsOfStep(tempo) * rate);
  // Two rounds: what the first leaves over is heard in the second one.
  const context = new OfflineAudioContext(numberOfChannels, 2 * frames, rate);
  const player = new Player(context, context.destination, volume);
  for (let step = 0; step < 2 * STEPS; step += 1) {
    for (const [voice, clip] of clips) {
      if (steps[voice] >> step % STEPS & 1) {
        player.play(voice, clip, Math.round(step * frames / STEPS) / rate);
      }
    }
  }
  const rendered = await context.startRendering();
  const channels = Array.from({ length: numberOfChannels }, (_, i) =>
    rendered.getChannelData(i).slice(frames));
  return { rate, channels: lower(channels) };
}

/** Divides samples by their peak if it is above 1. */
function lower(channels) {
  let peak = 1;
  for (const samples of channels) {
    for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
  }
  return channels.map((samples) => samples.map((sample) => sample / peak));
}
