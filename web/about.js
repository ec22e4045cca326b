// What is played, and by which weights: asked once, told at the top.

import { ask } from "./clips.js";

/** Shows it; gives all that the program tells, the words it knows included. */
export async function introduce() {
  const about = await (await ask("about")).json();
  document.title = `${about.name}: play`;
  const rate = about.sample_rate / 1000;
  document.getElementById("about").textContent = `${about.name}, step `
    + `${about.step.toLocaleString("en")}; ${about.channels === 1
      ? "mono" : `${about.channels} channels`}, ${rate} kHz`;
  return about;
}
