// Lets the notes of MIDI devices play the pads (Web MIDI).

import { KEYS, PADS } from "./state.js";

const FIRST_NOTE = 36; // plays the first pad, in the browser as in a kit
const NOTE_ON = 0x90;
const BUTTON = document.getElementById("midi");
const STATUS = document.getElementById("midi-status");
let access = null; // promise of the devices, once they were asked for

/**
 * Shows whether there is MIDI, and connects its devices on a click.
 * @param {function(number, number)} strike called with a pad and its level, 0
 *     to 1: as samplers play kits, it is the square of the velocity
 */
export function offerMidi(strike) {
  document.getElementById("midi-notes").textContent = `Notes ${FIRST_NOTE} to `
    + `${FIRST_NOTE + PADS - 1} play the pads from ${KEYS[0]} to `
    + `${KEYS[PADS - 1]}, and their velocity sets the loudness.`;
  BUTTON.disabled = !navigator.requestMIDIAccess;
  report(BUTTON.disabled ? "This browser has no Web MIDI."
    : "MIDI is available, and not connected yet.");
  BUTTON.addEventListener("click", () => {
    access ??= connect(strike).catch((error) => {
      access = null;
      report(["NotAllowedError", "SecurityError"].includes(error.name)
        ? "The browser refused MIDI: allow it in the settings of this site."
        : `MIDI cannot be used: ${error.message}`);
    });
  });
}

async function connect(strike) {
  report("Waiting for the browser's permission.");
  const granted = await navigator.requestMIDIAccess();
  const receive = ({ data: [status, note, velocity] }) => {
    const pad = note - FIRST_NOTE;
    const struck = (status & 0xf0) === NOTE_ON && velocity > 0;
    if (struck && pad >= 0 && pad < PADS) strike(pad, (velocity / 127) ** 2);
  };
  const listen = () => {
    const inputs = [...granted.inputs.values()]
      .filter(({ state }) => state === "connected");
    inputs.forEach((input) => { input.onmidimessage ??= receive; });
    const names = inputs.map(({ name }) => name || "a device without a name");
    report(names.length ? `Connected: ${names.join(", ")}.`
      : "No device is connected; one that is plugged in plays at once.");
  };
  granted.onstatechange = listen;
  listen();
}

function report(words) {
  STATUS.textContent = words;
}
