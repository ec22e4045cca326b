// Clips by what they are made of: fetched, decoded, kept ready to sound.

import { decode } from "./wav.js";

const SPARE = 24; // clips that are kept though nobody wants them now

/**
 * @typedef {object} Clip
 * @property {string} query what it is made of
 * @property {ArrayBuffer} file the WAV file
 * @property {number} rate in Hz
 * @property {Float32Array} mono mean of the channels
 * @property {AudioBuffer} buffer for the loudspeakers
 * @property {number} speed by which the buffer is played
 * @property {number} seconds
 */

export class Clips {
  #ready = new Map(); // query -> clip, the one used last at the end
  #coming = new Map(); // query -> promise of it
  #wanted = new Set();
  #working = null; // promise that all that is wanted is ready

  /** The clip if it can sound at once, else nothing. */
  ready(query) {
    const clip = this.#ready.get(query);
    if (clip) {
      this.#ready.delete(query);
      this.#ready.set(query, clip);
    }
    return clip;
  }

  /** A promise of the clip. */
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
   * Names all that should be ready. One after the other is fetched, so that a
   * pad that is struck meanwhile waits for one of them at most.
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

/** The program's answer; what it refuses is an error. */
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
  // Loudspeakers are two at most, and not every rate is a browser's.
  const heard = channels.length > 2 ? [mono] : channels;
  const sampleRate = Math.min(Math.max(rate, 8000), 96000);
  const buffer = new AudioBuffer({
    length: mono.length, numberOfChannels: heard.length, sampleRate,
  });
  heard.forEach((channel, i) => buffer.copyToChannel(channel, i));
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

/** Does what was asked last; what comes meanwhile but the last is left out. */
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
