// Plays clips; each voice plays one clip at a time.

const FADE = 0.008; // seconds; shorter ones click

export class Player {
  #context;
  #master;
  #voices = new Map(); // voice -> {source, gain, level, clip, start}

  /**
   * @param {BaseAudioContext} context
   * @param {AudioNode} output node of the context that gets all sounds
   * @param {number} volume factor of all samples
   */
  constructor(context, output, volume) {
    this.#context = context;
    this.#master = new GainNode(context, { gain: volume });
    this.#master.connect(output);
  }

  /** Returns a player for the loudspeakers. */
  static live(volume) {
    const context = new AudioContext({ latencyHint: "interactive" });
    // Keeps sixteen pads at the same time from clipping.
    const limiter = new DynamicsCompressorNode(context, {
      threshold: -3, knee: 0, ratio: 20, attack: 0.002, release: 0.1,
    });
    limiter.connect(context.destination);
    return new Player(context, limiter, volume);
  }

  /** Starts audio; browsers allow it only in handlers of keys and clicks. */
  wake() {
    if (this.#context.state !== "running") this.#context.resume();
  }

  /** Time of the audio clock in seconds. */
  get now() {
    return this.#context.currentTime;
  }

  get busy() {
    return this.#voices.size > 0;
  }

  set volume(gain) {
    this.#master.gain.setTargetAtTime(gain, this.now, 0.02);
  }

  /** Returns a voice's current clip and its start, or undefined. */
  sounding(voice) {
    return this.#voices.get(voice);
  }

  /**
   * Plays a clip, at once or at a time; what the voice plays fades out then.
   * @param {number} voice
   * @param {import("./clips.js").Clip} clip
   * @param {number} when on the clock; 0: now
   * @param {number} level factor of its samples
   * @param {number} offset seconds into the clip
   */
  play(voice, clip, when = 0, level = 1, offset = 0) {
    const context = this.#context;
    const start = Math.max(when, context.currentTime);
    const source = new AudioBufferSourceNode(context, {
      buffer: clip.buffer, playbackRate: clip.speed,
    });
    const gain = new GainNode(context, { gain: offset ? 0 : level });
    if (offset) gain.gain.linearRampToValueAtTime(level, start + FADE);
    source.connect(gain).connect(this.#master);
    source.start(when, offset * clip.speed);
    this.#fade(voice, start);
    const sound = { source, gain, level, clip, start: start - offset };
    this.#voices.set(voice, sound);
    source.onended = () => {
      if (this.#voices.get(voice) === sound) this.#voices.delete(voice);
    };
  }

  /** Switches to another clip at the same position. */
  slide(voice, clip) {
    const sound = this.#voices.get(voice);
    const offset = sound ? this.now - sound.start : 0;
    this.play(voice, clip, 0, 1, offset < clip.seconds - 0.05 ? offset : 0);
  }

  /** Stops all current and scheduled clips. */
  hush() {
    for (const voice of [...this.#voices.keys()]) {
      this.#fade(voice, this.now);
      this.#voices.delete(voice);
    }
  }

  #fade(voice, when) {
    const sound = this.#voices.get(voice);
    if (!sound) return;
    sound.gain.gain.setValueAtTime(sound.level, when);
    sound.gain.gain.linearRampToValueAtTime(0, when + FADE);
    sound.source.stop(when + FADE);
  }
}
