// What is wrong with a file, at its place: the line, and a mark under what is meant.

import { h } from "../lib/dom.js";
import { ended } from "../lib/format.js";

export function problems(diagnostics) {
  if (!diagnostics.length) return null;
  return h("ul", { class: "problems" }, diagnostics.map((d) => h("li", { class: d.severity },
    h("p", {}, h("strong", {}, d.severity === "error" ? "Error" : "Warning"), " ", h("span", { class: "tag" }, d.code), " ", ended(d.message)),
    d.line > 0 && d.text && quoted(d),
    h("p", { class: "faint" }, d.line > 0 ? `${d.file}, line ${d.line}, column ${d.column}` : d.file),
    d.help && h("p", {}, h("span", { class: "faint" }, "What to do: "), ended(d.help)))));
}

/** The line with a mark under what is meant, which is in sight also where the line is longer than there is room. */
function quoted({ line, text, column, length, offset = 0 }) {
  const mark = h("span", {}, "^".repeat(Math.max(1, length ?? 1)));
  const quote = h("pre", { "aria-label": `line ${line}`, tabindex: 0 },
    `${String(line).padStart(4)} │ ${text}\n     │ ${" ".repeat(Math.max(0, column - 1 - offset))}`, mark);
  requestAnimationFrame(() => { quote.scrollLeft = mark.offsetLeft + Math.min(mark.offsetWidth, quote.clientWidth / 2) - quote.clientWidth + 16; });
  return quote;
}
