// Asks Serin what it thinks of a text, a moment after it was changed.

import { h, replace } from "../lib/dom.js";
import { ask } from "../lib/api.js";
import { ended, sentence } from "../lib/format.js";

const AFTER = 350;

/** `told` hears the complaints; `go` leads to the place of one, as long as `canGo`: a form has no lines. */
export function checker(told, go, canGo = () => true) {
  let timer = null;
  let turn = 0;
  const place = h("div", { class: "complaints", role: "status" });
  const show = (diagnostics) => {
    told(diagnostics);
    replace(place, diagnostics.length === 0 ? h("p", { class: "fine" }, "No mistakes.") : h("ul", { class: "problems" }, diagnostics.map((d) => h("li", { class: d.severity },
      h("p", {}, d.line > 0 && canGo() ? h("button", { type: "button", class: "small", on: { click: () => go(d) } }, `Line ${d.line}`) : d.line > 0 && h("span", { class: "tag" }, `line ${d.line}`), " ", h("strong", {}, d.code), " ", ended(d.message)),
      d.help && h("p", { class: "faint" }, sentence(d.help))))));
  };
  return {
    element: place,
    /** Shows what was said elsewhere; an answer that is still to come is about an older text. */
    show(diagnostics) {
      clearTimeout(timer);
      turn += 1;
      show(diagnostics);
    },
    /** Asks nothing for now, and says why. */
    wait(why) {
      clearTimeout(timer);
      turn += 1;
      replace(place, h("p", { class: "faint" }, why));
    },
    ask(text) {
      clearTimeout(timer);
      timer = setTimeout(async () => {
        turn += 1;
        const own = turn;
        try {
          const { body } = await ask("POST", "validate", { body: text, type: "application/yaml" });
          if (own === turn) show(body.diagnostics);
        } catch (problem) {
          if (own === turn) replace(place, h("p", { class: "faint" }, problem.message));
        }
      }, AFTER);
    },
    end: () => clearTimeout(timer),
  };
}
