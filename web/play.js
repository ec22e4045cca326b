// Connects the controls of the page with its state, audio and pictures.

import { introduce } from "./about.js";
import { Clips, Latest } from "./clips.js";
import { listenToKeys, makePads, makeSteps } from "./controls.js";
import { offerMidi } from "./midi.js";
import { drawSpectrogram, drawWave } from "./pictures.js";
import { Player } from "./player.js";
import { saveClip, saveKit, saveLoop } from "./save.js";
import { Sequencer } from "./sequencer.js";
import {
  MORPH, PADS, commandOf, contentsOf, nameOf, query, randomSeed, read, readSeed,
  readTempo, wayOf, write,
} from "./state.js";

const $ = (id) => document.getElementById(id);
const { words = [] } = await introduce().catch((error) => {
  announce(error);
  throw error;
});
const state = read(location.hash, words);
const clips = new Clips();
const volume = () => $("volume").value / 100;
// Created early, because it would delay the first pad that is struck.
const player = Player.live(volume());
const morphing = new Latest();
const due = []; // scheduled steps that are to be shown: {time, step, voices}
let pad = 0; // the selected pad, which the tools act on
let voice = 0; // the selected voice, whose steps are shown
let shown = null; // {voice, clip} that the pictures show
let animating = false;
let saving = 0;

const sequencer = new Sequencer(() => player.now, (step, time) => {
  const voices = [];
  state.steps.forEach((mask, voice) => {
    const clip = mask >> step & 1 && clips.ready(query(state, voice));
    if (clip) {
      player.play(voice, clip, time);
      voices.push({ voice, clip });
    }
  });
  due.push({ time, step, voices });
});

// Sounding ---------------------------------------------------------------

/** Plays a voice now, or as soon as its clip has loaded. */
async function strike(struck, level = 1) {
  player.wake();
  if (struck < PADS) selectPad(struck);
  else selectVoice(struck);
  const wanted = query(state, struck);
  const clip = clips.ready(wanted) ?? await clips.get(wanted);
  player.play(struck, clip, 0, level);
  show(struck, clip);
  animate();
}

/** Morphs to the slider's position; playback continues at its position. */
function morph() {
  player.wake();
  changed();
  return morphing.ask(async () => {
    const clip = await clips.get(query(state, MORPH));
    player.slide(MORPH, clip);
    show(MORPH, clip);
    animate();
  });
}

// Changing ---------------------------------------------------------------

/** Saves and shows the state, and loads the clips that it may need. */
function changed() {
  clearTimeout(saving);
  saving = setTimeout(keep, 300); // browsers limit the rate of changes
  render();
  const voices = [...Array(PADS + 1).keys()];
  // The selected pad comes first.
  voices.sort((a, b) => (b === pad) - (a === pad));
  $("pads").setAttribute("aria-busy", "true");
  clips.want(voices.map((v) => query(state, v)), arrived)
    .then(() => $("pads").setAttribute("aria-busy", "false")).catch(announce);
}

function keep() {
  history.replaceState(null, "", write(state));
}

function arrived(clip) {
  state.pads.forEach((_, i) => {
    if (query(state, i) === clip.query) drawWave(canvasOf(i), clip);
  });
  const at = shown ? shown.voice : pad;
  if (query(state, at) === clip.query) show(at, clip);
}

function setSeed(seed) {
  state.pads[pad].seed = seed;
  changed();
  announce(`${nameOf(pad)}: seed ${seed}.`);
  strike(pad).catch(announce);
}

function setWord(chosen, word) {
  state.pads[chosen].word = word;
  changed();
  announce(`${nameOf(chosen)}: ${contentsOf(state.pads[chosen])}.`);
  strike(chosen).catch(announce);
}

function toggleKept() {
  const chosen = state.pads[pad];
  chosen.kept = !chosen.kept;
  changed();
  announce(`${nameOf(pad)} is ${chosen.kept ? "kept" : "free"}.`);
}

function randomiseAll() {
  const free = state.pads.filter((one) => !one.kept);
  free.forEach((one) => { one.seed = randomSeed(); });
  changed();
  announce(`${free.length} new sounds; ${PADS - free.length} kept.`);
}

function toggleRun() {
  if (sequencer.running) {
    sequencer.stop();
    player.hush();
    due.length = 0;
  } else {
    player.wake();
    sequencer.start();
    animate();
  }
  markStep(-1);
  render();
}

function selectPad(chosen) {
  pad = chosen;
  selectVoice(chosen);
}

function selectVoice(chosen) {
  voice = chosen;
  render();
}

async function copySeed() {
  const { seed } = state.pads[pad];
  try {
    await navigator.clipboard.writeText(String(seed));
    announce(`Copied ${seed}.`);
  } catch {
    $("seed").select();
    announce("The browser lets no page copy: press Ctrl-C.");
  }
}

// Showing ----------------------------------------------------------------

/** Shows a message or an error in the status line. */
function announce(words) {
  $("status").textContent = words instanceof Error ? words.message : words;
}

const canvasOf = (i) => pads[i].querySelector("canvas");

function show(of, clip) {
  shown = { voice: of, clip };
  const what = of < PADS
    ? `${nameOf(of)}, ${contentsOf(state.pads[of])}` : $("mixed").value;
  $("wave").setAttribute("aria-label", `Waveform of ${what}`);
  $("spectrogram").setAttribute("aria-label", `Spectrogram of ${what}`);
  $("axis").textContent = `${what}. ${clip.seconds.toFixed(2)} s, `
    + `0 to ${clip.rate / 2000} kHz`;
  drawWave($("wave"), clip);
  drawSpectrogram($("spectrogram"), clip);
}

function render() {
  pads.forEach((button, i) => {
    const { seed, kept } = state.pads[i];
    button.querySelector(".seed").textContent = seed;
    button.querySelector(".seed").classList.toggle("long", seed > 9999999);
    button.querySelector(".mark").textContent = kept ? "kept" : "";
    button.setAttribute("aria-label",
      `${nameOf(i)}, ${contentsOf(state.pads[i])}${kept ? ", kept" : ""}`);
    button.setAttribute("aria-current", String(i === pad));
    [...button.querySelector(".lane").children].forEach((dot, step) => {
      dot.className = state.steps[i] >> step & 1 ? "on" : "";
    });
  });
  pickers.forEach((picker, i) => { picker.value = state.pads[i].word; });
  const { seed, kept } = state.pads[pad];
  $("pad-title").textContent = nameOf(pad);
  $("again").textContent = commandOf(state.pads[pad]);
  $("seed").value = seed;
  $("seed").removeAttribute("aria-invalid");
  $("keep").setAttribute("aria-pressed", String(kept));
  const { from, to, mix, path } = state.morph;
  Object.entries({ from, to, mix, path }).forEach(([id, value]) => {
    $(id).value = value;
  });
  $("mix").setAttribute("aria-valuetext", `${mix} percent`);
  $("mixed").value = wayOf(state);
  $("tempo").value = state.tempo;
  sequencer.tempo = state.tempo;
  $("voice").value = voice;
  steps.forEach((button, step) => {
    const on = state.steps[voice] >> step & 1;
    button.setAttribute("aria-pressed", String(Boolean(on)));
    button.setAttribute("aria-label", `Step ${step + 1}, ${nameOf(voice)}`);
  });
  $("run").setAttribute("aria-pressed", String(sequencer.running));
  $("run").firstChild.textContent = sequencer.running ? "Stop " : "Start ";
}

function markStep(now) {
  steps.forEach((button, step) => {
    button.classList.toggle("now", step === now);
  });
}

/** Updates the page while sounds play. */
function animate() {
  if (animating) return;
  animating = true;
  requestAnimationFrame(frame);
}

function frame() {
  let last = null;
  while (due.length && due[0].time <= player.now) last = due.shift();
  if (last) {
    markStep(last.step);
    const top = last.voices.at(-1);
    if (top && top.clip !== shown?.clip) show(top.voice, top.clip);
  }
  pads.forEach((button, i) => {
    const playing = player.sounding(i);
    button.classList.toggle("sounding", Boolean(playing)
      && playing.start <= player.now);
  });
  const playing = shown && player.sounding(shown.voice);
  const place = playing
    ? (player.now - playing.start) / playing.clip.seconds : -1;
  $("head").hidden = place < 0 || place > 1;
  $("head").style.left = `${Math.min(place, 1) * 100}%`;
  animating = player.busy || sequencer.running;
  if (animating) requestAnimationFrame(frame);
}

// Wiring -----------------------------------------------------------------

const hit = (pad, level) => strike(pad, level).catch(announce);
const { pads, pickers } = makePads($("pads"), hit, words, setWord);
const steps = makeSteps($("steps"), (step) => {
  state.steps[voice] ^= 1 << step;
  changed();
});
for (let i = 0; i <= PADS; i += 1) {
  if (i < PADS) {
    $("from").append(new Option(nameOf(i), i));
    $("to").append(new Option(nameOf(i), i));
  }
  $("voice").append(new Option(nameOf(i), i));
}

const saved = (name) => announce(`Saved ${name}.`);
const onClick = {
  all: randomiseAll,
  copy: copySeed,
  fresh: () => setSeed(randomSeed()),
  keep: toggleKept,
  save: () => saveClip(state, clips, pad).then(saved),
  morph: () => strike(MORPH),
  "save-morph": () => saveClip(state, clips, MORPH).then(saved),
  "save-kit": () => saveKit(state).then(saved),
  "save-loop": () => saveLoop(state, clips, volume()).then(saved),
  run: toggleRun,
  clear: () => { state.steps.fill(0); changed(); announce("No step is set."); },
  keys: () => {
    const on = $("keys").getAttribute("aria-pressed") !== "true";
    $("keys").setAttribute("aria-pressed", String(on));
  },
};
for (const [id, act] of Object.entries(onClick)) {
  $(id).addEventListener("click", () => act()?.catch?.(announce));
}
$("seed").addEventListener("change", () => {
  const seed = readSeed($("seed").value.trim());
  if (seed !== null) return setSeed(seed);
  $("seed").setAttribute("aria-invalid", "true");
  return announce("A seed is a whole number from 0 to 2147483647.");
});
for (const id of ["from", "to", "mix"]) {
  $(id).addEventListener("input", () => {
    state.morph[id] = Number($(id).value);
    morph().catch(announce);
  });
}
$("path").addEventListener("input", () => {
  state.morph.path = $("path").value;
  morph().catch(announce);
});
$("tempo").addEventListener("change", () => {
  state.tempo = readTempo($("tempo").value) ?? state.tempo;
  changed();
});
$("voice").addEventListener("input", () => {
  selectVoice(Number($("voice").value));
});
$("volume").addEventListener("input", () => {
  player.volume = volume();
});
listenToKeys(
  () => $("keys").getAttribute("aria-pressed") === "true",
  hit,
  {
    KeyN: onClick.fresh,
    KeyK: onClick.keep,
    KeyM: () => onClick.morph().catch(announce),
    KeyP: onClick.run,
  },
);
offerMidi(hit);
addEventListener("pagehide", keep);
addEventListener("hashchange", () => {
  Object.assign(state, read(location.hash, words));
  changed();
});
const resized = new ResizeObserver(() => {
  if (shown) show(shown.voice, shown.clip);
  state.pads.forEach((_, i) => {
    const clip = clips.ready(query(state, i));
    if (clip) drawWave(canvasOf(i), clip);
  });
});
for (const id of ["wave", "pads"]) resized.observe($(id));

changed();
