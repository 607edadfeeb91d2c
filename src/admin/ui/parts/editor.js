// A text with numbered lines, whose lines are marked when something is said about them.

import { h, replace, unique } from "../lib/dom.js";

export function editor(label, value, changed) {
  const id = unique("yaml");
  const numbers = h("ol", { class: "gutter", "aria-hidden": "true" });
  const area = h("textarea", { id, value, wrap: "off", spellcheck: "false", autocapitalize: "off", autocomplete: "off", rows: 24 });
  let marked = new Map();
  const draw = () => {
    const count = area.value.split("\n").length;
    replace(numbers, Array.from({ length: count }, (_, i) => h("li", { class: marked.get(i + 1) ?? null }, String(i + 1))));
    numbers.scrollTop = area.scrollTop;
  };
  area.addEventListener("scroll", () => { numbers.scrollTop = area.scrollTop; });
  area.addEventListener("input", () => {
    draw();
    changed();
  });
  draw();
  return {
    element: h("div", {}, h("label", { for: id, class: "unseen" }, label), h("div", { class: "editor" }, numbers, area)),
    value: () => area.value,
    set(text) {
      area.value = text;
      draw();
    },
    mark(diagnostics) {
      marked = new Map(diagnostics.filter((d) => d.line > 0).map((d) => [d.line, d.severity]));
      area.setAttribute("aria-invalid", String(diagnostics.some((d) => d.severity === "error")));
      draw();
    },
    /** Puts the cursor at a place. */
    go({ line, column }) {
      const before = area.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
      const at = before + Math.max(0, column - 1);
      area.focus();
      area.setSelectionRange(at, at);
      area.scrollTop = Math.max(0, (line - 6) * parseFloat(getComputedStyle(area).lineHeight));
    },
  };
}
