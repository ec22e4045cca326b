// Fetches clips by their queries, decodes them and keeps them ready to play.

import { decode } from "./wav.js";

const SPARE = 24; // clips that are kept although they are not wanted now

/**
 * @typedef {object} Clip
 * @property {string} query seeds, words and mix that it is generated from
 * @property {ArrayBuffer} file the WAV file
 * @property {number} rate sampling rate in Hz
 * @property {Float32Array} mono mean of the channels
 * @property {AudioBuffer} buffer for the loudspeakers
 * @property {number} speed playback rate of the buffer
 * @property {number} seconds duration
 */

export class Clips {
  #ready = new Map(); // query -> clip, the most recently used at the end
  #coming = new Map(); // query -> promise of the clip
  #wanted = new Set();
  #working = null; // promise that all wanted clips are ready

  /** Returns the clip if it is ready to play, else undefined. */
  ready(query) {
    const clip = this.#ready.get(query);
    if (clip) {
      this.#ready.delete(query);
      this.#ready.set(query, clip);
    }
    return clip;
  }

  /** Returns a promise of the clip. */
  get(query) {
    const clip = this.ready(query);
    if (clip) return Promise.resolve(clip);
    if (!this.#coming.has(query)) {
      const coming = fetchClip(query)
        .then((made) => this.#keep(made))
        .finally(() => this.#coming.delete(query));
      this.#coming.set(query, coming);
    }
    return this.#coming.get(query);
  }

  /**
   * Sets which clips should be ready. They are fetched one after the other, so
   * that a pad that is struck meanwhile waits for one of them at most.
   */
  want(queries, arrived) {
    this.#wanted = new Set(queries);
    this.#working ??= this.#work(arrived).finally(() => {
      this.#working = null;
    });
    return this.#working;
  }

  async #work(arrived) {
    for (let next = this.#missing(); next; next = this.#missing()) {
      arrived(await this.get(next));
    }
  }

  #missing() {
    return [...this.#wanted].find((query) => !this.#ready.has(query));
  }

  #keep(clip) {
    this.#ready.set(clip.query, clip);
    const spare = [...this.#ready.keys()].filter((q) => !this.#wanted.has(q));
    for (const query of spare.slice(0, -SPARE)) this.#ready.delete(query);
    return clip;
  }
}

/** Returns the server's answer, or throws the error that it reports. */
export async function ask(address) {
  let response;
  try {
    response = await fetch(address);
  } catch {
    throw new Error("The program does not answer: start it again.");
  }
  if (!response.ok) throw new Error((await response.text()).trim());
  return response;
}

async function fetchClip(query) {
  const file = await (await ask(`clip?${query}`)).arrayBuffer();
  const { rate, channels } = decode(file);
  const mono = channels.length > 1 ? mean(channels) : channels[0];
  // At most two channels are played, and browsers do not support all rates.
  const played = channels.length > 2 ? [mono] : channels;
  const sampleRate = Math.min(Math.max(rate, 8000), 96000);
  const buffer = new AudioBuffer({
    length: mono.length, numberOfChannels: played.length, sampleRate,
  });
  played.forEach((channel, i) => buffer.copyToChannel(channel, i));
  return {
    query, file, rate, mono, buffer,
    speed: rate / sampleRate,
    seconds: mono.length / rate,
  };
}

function mean(channels) {
  return channels[0].map((_, i) =>
    channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
}

/** Runs one task at a time; of those asked meanwhile, only the last one. */
export class Latest {
  #next = null;
  #busy = false;

  async ask(task) {
    this.#next = task;
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (this.#next) {
        const now = this.#next;
        this.#next = null;
        await now();
      }
    } finally {
      this.#busy = false;
    }
  }
}
