// A text with numbered lines, and those marked that something is said about.

import { h } from "../lib/dom.js";

export function code(text, diagnostics = []) {
  const marks = new Map();
  for (const d of diagnostics) if (d.line > 0) marks.set(d.line, [...(marks.get(d.line) ?? []), d]);
  const lines = text.replace(/\n$/, "").split("\n").map((line, i) => {
    const said = marks.get(i + 1) ?? [];
    const kind = said.some((d) => d.severity === "error") ? "error" : said.length ? "warning" : null;
    return h("li", { class: kind }, h("code", {}, line || " "), said.map((d) => h("span", { class: "said" }, `${d.code}: ${d.message}`)));
  });
  return h("ol", { class: "code", tabindex: 0, "aria-label": "The file" }, lines);
}
