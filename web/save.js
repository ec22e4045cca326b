// Saves clips, kits and loops as files of the browser.

import { ask } from "./clips.js";
import { renderLoop } from "./loop.js";
import { PADS, fileNameOf, query } from "./state.js";
import { encode } from "./wav.js";

/** Saves the clip of a voice; returns the name of the file. */
export async function saveClip(state, clips, voice) {
  const { file } = await clips.get(query(state, voice));
  return download(fileNameOf(state, voice), file, "audio/wav");
}

/** Saves all pads as a kit for samplers; returns the name of the file. */
export async function saveKit(state) {
  const pads = state.pads.map((_, pad) => query(state, pad)).join("&");
  const kit = await (await ask(`kit?${pads}`)).arrayBuffer();
  return download("kit.zip", kit, "application/zip");
}

/** Saves the sequencer's loop; returns the name of the file. */
export async function saveLoop(state, clips, volume) {
  const { steps, tempo } = structuredClone(state); // it may change meanwhile
  const sounds = new Map();
  for (let voice = 0; voice <= PADS; voice += 1) {
    if (steps[voice]) sounds.set(voice, await clips.get(query(state, voice)));
  }
  if (!sounds.size) throw new Error("No step is set: the loop is silent.");
  const { rate, channels } = await renderLoop(steps, tempo, sounds, volume);
  return download(`loop_${tempo}bpm.wav`, encode(rate, channels), "audio/wav");
}

function download(name, content, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  return name;
}
