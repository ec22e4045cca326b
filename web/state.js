// The state of the page, kept in its address, so that a reload or a bookmark
// restores it.

export const KEYS = [..."1234QWERASDFZXCV"]; // the key of each pad
export const PADS = KEYS.length;
export const MORPH = PADS; // the voice after those of the pads
const LARGEST_SEED = 2 ** 31 - 1;
const FIRST_STEPS = { 0: 0x1111, 1: 0x1010, 2: 0x4444, 5: 0x0240 };

/** Returns the state of a new page; words, if any, are assigned in turn. */
export function initial(words) {
  return {
    pads: Array.from({ length: PADS }, (_, seed) => ({
      seed, kept: false, word: words[seed % words.length],
    })),
    // Bit i: whether step i plays.
    steps: Array.from({ length: PADS + 1 }, (_, v) => FIRST_STEPS[v] ?? 0),
    tempo: 110,
    morph: { from: 0, to: 1, mix: 50, path: "straight" },
  };
}

/** Returns the fragment of an address that holds the state. */
export function write({ pads, steps, tempo, morph }) {
  const { from, to, mix, path } = morph;
  const words = pads.map(({ word }) => encodeURIComponent(word)).join("/");
  return "#" + [
    `pads=${pads.map((pad) => pad.seed + (pad.kept ? "k" : "")).join(".")}`,
    ...pads[0].word === undefined ? [] : [`words=${words}`],
    `steps=${steps.map((mask) => mask.toString(16)).join(".")}`,
    `tempo=${tempo}`,
    `morph=${from}.${to}.${mix}.${path}`,
  ].join("&");
}

/** Reads a fragment; invalid parts are as on a new page. */
export function read(fragment, words) {
  const state = initial(words);
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  const parts = (name) => (given.get(name) ?? "").split(".");
  const pads = parts("pads").map((part) => ({
    seed: readSeed(part.replace(/k$/, "")), kept: part.endsWith("k"),
  }));
  if (pads.length === PADS && pads.every((pad) => pad.seed !== null)) {
    pads.forEach((pad, i) => Object.assign(state.pads[i], pad));
  }
  (given.get("words") ?? "").split("/").slice(0, PADS).forEach((word, i) => {
    if (words.includes(word)) state.pads[i].word = word;
  });
  const steps = parts("steps");
  if (steps.length === PADS + 1
      && steps.every((part) => /^[0-9a-f]{1,4}$/.test(part))) {
    state.steps = steps.map((part) => Number.parseInt(part, 16));
  }
  state.tempo = readTempo(given.get("tempo")) ?? state.tempo;
  const [from, to, mix, path] = parts("morph");
  const whole = (text, most) => /^\d{1,3}$/.test(text) && Number(text) <= most;
  if (whole(from, PADS - 1) && whole(to, PADS - 1) && whole(mix, 100)
      && ["straight", "slerp"].includes(path)) {
    const [start, end, percent] = [from, to, mix].map(Number);
    state.morph = { from: start, to: end, mix: percent, path };
  }
  return state;
}

/** Parses a typed seed; null if it is invalid. */
export function readSeed(text) {
  return /^\d{1,10}$/.test(text) && Number(text) <= LARGEST_SEED
    ? Number(text) : null;
}

/** Parses a typed tempo in beats per minute; null if it is out of range. */
export function readTempo(text) {
  const tempo = Math.round(Number(text));
  return tempo >= 30 && tempo <= 300 ? tempo : null;
}

/** Draws a random seed of at most six digits. */
export function randomSeed() {
  return Math.floor(Math.random() * 1e6);
}

/** Returns the server's query for the clip of a voice. */
export function query(state, voice) {
  const wordQuery = (name, { word }) =>
    word === undefined ? "" : `&${name}=${encodeURIComponent(word)}`;
  if (voice < PADS) {
    const pad = state.pads[voice];
    return `seed=${pad.seed}${wordQuery("word", pad)}`;
  }
  const { mix, path } = state.morph;
  const [from, to] = [state.morph.from, state.morph.to].map((i) => state.pads[i]);
  return `seed=${from.seed}&to=${to.seed}&mix=${mix / 100}&path=${path}`
    + wordQuery("word", from) + wordQuery("to_word", to);
}

/** Describes the position of the morph. */
export function wayOf({ pads, morph }) {
  const [from, to] = [morph.from, morph.to].map((i) =>
    nameOf(i) + (pads[i].word === undefined ? "" : ` (${pads[i].word})`));
  return `${morph.mix} % of the way from ${from} to ${to}`;
}

/** Describes the clip of a pad. */
export function contentsOf({ seed, word }) {
  return word === undefined ? `seed ${seed}` : `${word}, seed ${seed}`;
}

/** Returns the name of a clip's file; `eval` reads the word at its start. */
export function fileNameOf(state, voice) {
  const { seed, word } = state.pads[voice] ?? {};
  if (word !== undefined) return `${word}_seed-${seed}.wav`;
  const name = decodeURIComponent(query(state, voice));
  return `${name.replace(/[=&]/g, "-")}.wav`;
}

/** Returns the command that writes the clip of a pad. */
export function commandOf({ seed, word }) {
  const name = /^[\w-]+$/.test(word) ? word : `'${word}'`;
  return `generate --seed ${seed}${word === undefined ? "" : ` --word ${name}`}`
    + " --n 1";
}

/** Returns the name of a voice: the key that plays it. */
export function nameOf(voice) {
  return voice < PADS ? `Pad ${KEYS[voice]}` : "Morph";
}
