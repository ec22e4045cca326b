// The two rows of buttons, pads and steps, and the ways of a keyboard.

import { STEPS } from "./sequencer.js";
import { KEYS, PADS } from "./state.js";

// Places on the keyboard, four by four, whatever is printed there.
const CODES = KEYS.map((key) => (/\d/.test(key) ? `Digit${key}` : `Key${key}`));

/**
 * Makes one stop of the Tab key of a group of buttons; arrow keys move on.
 * @param {HTMLElement} group
 * @param {function(): number} columns how many stand side by side
 */
function rove(group, columns) {
  const buttons = [...group.children];
  const stop = (chosen) => buttons.forEach((button) => {
    button.tabIndex = button === chosen ? 0 : -1;
  });
  stop(buttons[0]);
  group.addEventListener("focusin", (event) => stop(event.target));
  group.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(document.activeElement);
    const moves = {
      ArrowRight: at + 1, ArrowLeft: at - 1,
      ArrowDown: at + columns(), ArrowUp: at - columns(),
      Home: 0, End: buttons.length - 1,
    };
    if (!(event.key in moves) || at < 0) return;
    event.preventDefault();
    buttons[moves[event.key]]?.focus();
  });
}

const columnsOf = (group) =>
  getComputedStyle(group).gridTemplateColumns.split(" ").length;

/** Makes the pads; `strike(pad)` is called as soon as one goes down. */
export function makePads(group, strike) {
  const pads = KEYS.map((key, pad) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "pad";
    button.innerHTML = '<span class="key"></span><span class="mark"></span>'
      + '<canvas></canvas><span class="seed"></span><span class="lane"></span>';
    button.querySelector(".key").textContent = key;
    button.setAttribute("aria-keyshortcuts", key.toLowerCase());
    for (let step = 0; step < STEPS; step += 1) {
      button.querySelector(".lane").append(document.createElement("i"));
    }
    button.addEventListener("pointerdown", (event) => {
      if (event.button === 0) strike(pad);
    });
    // Keys, and what speaks or switches for people, click without a pointer.
    button.addEventListener("click", (event) => {
      if (event.detail === 0) strike(pad);
    });
    return button;
  });
  group.append(...pads);
  rove(group, () => columnsOf(group));
  return pads;
}

/** Makes the steps; `toggle(step)` is called when one is clicked. */
export function makeSteps(group, toggle) {
  const steps = Array.from({ length: STEPS }, (_, step) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "step";
    button.textContent = step + 1;
    button.addEventListener("click", () => toggle(step));
    return button;
  });
  group.append(...steps);
  rove(group, () => columnsOf(group));
  return steps;
}

/**
 * Lets keys play, but not those that somebody types or that are commands.
 * @param {function(): boolean} on whether they shall
 * @param {function(number)} strike called with the number of a pad
 * @param {Object<string, function()>} others what else a key does, by code
 */
export function listenToKeys(on, strike, others) {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches(
      "select, textarea, input:not([type=range])");
    if (!on() || typing || event.repeat
        || event.ctrlKey || event.altKey || event.metaKey) return;
    const pad = CODES.indexOf(event.code);
    if (pad >= 0 && pad < PADS) strike(pad);
    else others[event.code]?.();
  });
}
