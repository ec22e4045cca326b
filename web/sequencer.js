// Schedules sixteen steps, always a little ahead of the audio clock.

export const STEPS = 16;
const AHEAD = 0.15; // seconds that are scheduled in advance
const TICK = 25; // milliseconds between two checks of the clock
const LEAD = 0.06; // seconds from start to the first step

/** Returns the duration of a step: a quarter of a beat. */
export function secondsOfStep(tempo) {
  return 60 / tempo / 4;
}

export class Sequencer {
  #timer = 0;
  #step = 0;
  #next = 0;
  #now;
  #trigger;

  /**
   * @param {function(): number} now returns the audio clock in seconds
   * @param {function(number, number)} trigger called with step and time
   */
  constructor(now, trigger) {
    this.#now = now;
    this.#trigger = trigger;
    this.tempo = 120; // beats a minute
  }

  get running() {
    return this.#timer !== 0;
  }

  start() {
    this.#step = 0;
    this.#next = this.#now() + LEAD;
    this.#timer = setInterval(() => this.#schedule(), TICK);
    this.#schedule();
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
  }

  #schedule() {
    const now = this.#now();
    while (this.#next < now + AHEAD) {
      // Steps that a sleeping tab missed are skipped, not played all at once.
      if (this.#next >= now) this.#trigger(this.#step, this.#next);
      this.#next += secondsOfStep(this.tempo);
      this.#step = (this.#step + 1) % STEPS;
    }
  }
}
