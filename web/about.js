// Asks the server which weights it plays, and shows them.

import { ask } from "./clips.js";

/** Shows the weights; returns the server's whole answer, with its words. */
export async function introduce() {
  const about = await (await ask("about")).json();
  document.title = `${about.name}: play`;
  const rate = about.sample_rate / 1000;
  document.getElementById("about").textContent = `${about.name}, step `
    + `${about.step.toLocaleString("en")}; ${about.channels === 1
      ? "mono" : `${about.channels} channels`}, ${rate} kHz`;
  return about;
}
