// Buttons and ways that may be closed: then they say why, to the eye, to the pointer and to a screen reader.

import { h, unique } from "../lib/dom.js";

/** A button. `why` it cannot be pressed now; it stays in the order of the keyboard, so that the reason can be heard. */
export function button(words, press, { why = null, kind = "", key } = {}) {
  const note = why ? unique("why") : null;
  const made = h("button", {
    type: "button", class: kind, "data-key": key, title: why,
    "aria-disabled": why ? "true" : null, "aria-describedby": note,
    on: { click: (event) => (why ? event.preventDefault() : press(event)) },
  }, words);
  return why ? [made, h("span", { class: "unseen", id: note }, why)] : made;
}

/** A link that looks like a button. */
export function wayTo(path, words, why = null, kind = "primary") {
  return why ? button(words, () => {}, { why, kind }) : h("a", { class: `button ${kind}`, href: path }, words);
}
