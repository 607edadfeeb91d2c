// What is wrong with a file, at its place: the line, and a mark under what is meant.

import { h } from "../lib/dom.js";

export function problems(diagnostics) {
  if (!diagnostics.length) return null;
  return h("ul", { class: "problems" }, diagnostics.map((d) => h("li", { class: d.severity },
    h("p", {}, h("strong", {}, d.severity === "error" ? "Error" : "Warning"), " ", h("span", { class: "tag" }, d.code), " ", d.message, "."),
    d.line > 0 && d.text && h("pre", { "aria-label": `line ${d.line}`, tabindex: 0 }, `${String(d.line).padStart(4)} │ ${d.text}\n     │ ${" ".repeat(Math.max(0, d.column - 1 - (d.offset ?? 0)))}${"^".repeat(Math.max(1, d.length ?? 1))}`),
    h("p", { class: "faint" }, d.line > 0 ? `${d.file}, line ${d.line}, column ${d.column}` : d.file),
    d.help && h("p", {}, h("span", { class: "faint" }, "What to do: "), /[.?!]$/.test(d.help) ? d.help : `${d.help}.`))));
}
