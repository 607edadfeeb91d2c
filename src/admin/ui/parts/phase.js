// A phase as a word with a colour. The colour says nothing that the word does not.

import { h } from "../lib/dom.js";
import { phaseName } from "../lib/format.js";

/** From what needs somebody to what needs nobody. */
export const URGENCY = ["Invalid", "RolledBack", "Paused", "Holding", "Waiting", "Baking", "Progressing", "Promoted", "Stable"];

const MEANING = {
  Stable: "It serves what its file says; nothing is released.",
  Waiting: "The canary has no healthy endpoint yet.",
  Progressing: "Traffic moves to the canary, step by step.",
  Holding: "There is not enough evidence for the next step.",
  Paused: "It stays as it is until somebody says so.",
  Baking: "The canary has all traffic and is still watched.",
  Promoted: "The canary has all traffic; the release is done.",
  RolledBack: "The canary did harm; the primary has all traffic.",
  Invalid: "The newest version of the file is in error.",
};

export const meaning = (phase) => MEANING[phase] ?? "";

export function pill(phase) {
  return h("span", { class: "pill", "data-phase": phase, title: meaning(phase) }, phaseName(phase));
}
