// What the page is set to, kept in its address: a reload or a bookmark brings
// it back.

export const KEYS = [..."1234QWERASDFZXCV"]; // what plays each pad
export const PADS = KEYS.length;
export const MORPH = PADS; // the voice behind the pads'
const LARGEST_SEED = 2 ** 31 - 1;
const FIRST_STEPS = { 0: 0x1111, 1: 0x1010, 2: 0x4444, 5: 0x0240 };

/** What a new page starts with; words, if there are any, take turns. */
export function initial(words) {
  return {
    pads: Array.from({ length: PADS }, (_, seed) => ({
      seed, kept: false, word: words[seed % words.length],
    })),
    // Bit i: step i sounds.
    steps: Array.from({ length: PADS + 1 }, (_, v) => FIRST_STEPS[v] ?? 0),
    tempo: 110,
    morph: { from: 0, to: 1, mix: 50, path: "straight" },
  };
}

/** The fragment of an address. */
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

/** Reads it; what is odd in it is as on a new page. */
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

/** A seed as people type it; null if it is none. */
export function readSeed(text) {
  return /^\d{1,10}$/.test(text) && Number(text) <= LARGEST_SEED
    ? Number(text) : null;
}

/** Beats a minute as people type them; null if out of bounds. */
export function readTempo(text) {
  const tempo = Math.round(Number(text));
  return tempo >= 30 && tempo <= 300 ? tempo : null;
}

/** A seed that is easy to read out. */
export function randomSeed() {
  return Math.floor(Math.random() * 1e6);
}

/** What the clip of a voice is made of, as the server wants it told. */
export function query(state, voice) {
  const said = (name, { word }) =>
    word === undefined ? "" : `&${name}=${encodeURIComponent(word)}`;
  if (voice < PADS) {
    const pad = state.pads[voice];
    return `seed=${pad.seed}${said("word", pad)}`;
  }
  const { mix, path } = state.morph;
  const [from, to] = [state.morph.from, state.morph.to].map((i) => state.pads[i]);
  return `seed=${from.seed}&to=${to.seed}&mix=${mix / 100}&path=${path}`
    + said("word", from) + said("to_word", to);
}

/** Where the morph is, in words. */
export function wayOf({ pads, morph }) {
  const [from, to] = [morph.from, morph.to].map((i) =>
    nameOf(i) + (pads[i].word === undefined ? "" : ` (${pads[i].word})`));
  return `${morph.mix} % of the way from ${from} to ${to}`;
}

/** What a pad plays, in words. */
export function contentsOf({ seed, word }) {
  return word === undefined ? `seed ${seed}` : `${word}, seed ${seed}`;
}

/** What a file of it is called: a word comes first, where `eval` reads it. */
export function fileNameOf(state, voice) {
  const { seed, word } = state.pads[voice] ?? {};
  if (word !== undefined) return `${word}_seed-${seed}.wav`;
  const name = decodeURIComponent(query(state, voice));
  return `${name.replace(/[=&]/g, "-")}.wav`;
}

/** The command that writes what a pad plays. */
export function commandOf({ seed, word }) {
  const said = /^[\w-]+$/.test(word) ? word : `'${word}'`;
  return `generate --seed ${seed}${word === undefined ? "" : ` --word ${said}`}`
    + " --n 1";
}

/** How people call a voice: as the key that plays it. */
export function nameOf(voice) {
  return voice < PADS ? `Pad ${KEYS[voice]}` : "Morph";
}
