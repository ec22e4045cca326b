// Makes the buttons of pads and steps, and handles the keyboard.

import { STEPS } from "./sequencer.js";
import { KEYS, PADS, nameOf } from "./state.js";

// Physical keys, four by four, whatever the keyboard's layout is.
const CODES = KEYS.map((key) => (/\d/.test(key) ? `Digit${key}` : `Key${key}`));

/**
 * Makes a group of buttons one stop of the Tab key; arrow keys move in it.
 * @param {HTMLElement} group
 * @param {HTMLElement[]} buttons buttons of the group
 * @param {HTMLElement[]} mates element next to each button, if any
 */
function rove(group, buttons, mates = []) {
  const stop = (chosen) => [buttons, mates].forEach((all) => {
    all.forEach((one, i) => { one.tabIndex = i === chosen ? 0 : -1; });
  });
  stop(0);
  group.addEventListener("focusin", (event) => {
    stop(Math.max(buttons.indexOf(event.target), mates.indexOf(event.target)));
  });
  group.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(document.activeElement);
    const columns = columnsOf(group);
    const moves = {
      ArrowRight: at + 1, ArrowLeft: at - 1,
      ArrowDown: at + columns, ArrowUp: at - columns,
      Home: 0, End: buttons.length - 1,
    };
    if (!(event.key in moves) || at < 0) return;
    event.preventDefault();
    buttons[moves[event.key]]?.focus();
  });
}

const columnsOf = (group) =>
  getComputedStyle(group).gridTemplateColumns.split(" ").length;

/**
 * Makes the pads.
 * @param {HTMLElement} group
 * @param {function(number)} strike called as soon as a pad goes down
 * @param {string[]} words choice of words for each pad; empty: no choice
 * @param {function(number, string)} choose called with a pad and its word
 * @returns {{pads: HTMLElement[], pickers: HTMLSelectElement[]}}
 */
export function makePads(group, strike, words, choose) {
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
    // Keys and assistive technology click without a pointer.
    button.addEventListener("click", (event) => {
      if (event.detail === 0) strike(pad);
    });
    return button;
  });
  const pickers = words.length
    ? pads.map((button, pad) => makePicker(button, pad, words, choose)) : [];
  group.append(...pads.map((button, pad) => {
    if (!words.length) return button;
    const cell = document.createElement("div");
    cell.className = "cell";
    cell.append(button, pickers[pad]);
    return cell;
  }));
  rove(group, pads, pickers);
  return { pads, pickers };
}

/** Makes the menu for a pad's word. */
function makePicker(button, pad, words, choose) {
  const picker = document.createElement("select");
  picker.setAttribute("aria-label", `Word of ${nameOf(pad)}`);
  picker.append(...words.map((word) => new Option(word)));
  let pointed = false;
  picker.addEventListener("pointerdown", () => { pointed = true; });
  picker.addEventListener("keydown", () => { pointed = false; });
  picker.addEventListener("change", () => {
    choose(pad, picker.value);
    // After a choice by mouse, keys play pads again.
    if (pointed) button.focus();
  });
  return picker;
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
  rove(group, steps);
  return steps;
}

/**
 * Lets keys play pads, except while typing and in keyboard shortcuts.
 * @param {function(): boolean} on returns whether keys play
 * @param {function(number)} strike called with the number of a pad
 * @param {Object<string, function()>} others actions of other keys, by code
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
