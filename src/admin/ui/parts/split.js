// Who gets which share of the requests, as a bar.

import { h } from "../lib/dom.js";
import { percent } from "../lib/format.js";
import { versions } from "../lib/roles.js";

/** The bar alone; its shares as words for those who do not see it. */
export function bar(gateway, { large = false } = {}) {
  const parts = versions(gateway).filter((u) => u.weight > 0);
  const words = parts.map((u) => `${u.name} ${percent(u.weight)}`).join(", ");
  const segments = parts.map((u) => {
    const part = h("span", { class: `v${u.index}` }, large && u.weight >= 12 ? h("span", { class: "inside" }, percent(u.weight)) : null);
    part.style.flexGrow = u.weight;
    return part;
  });
  return h("div", { class: large ? "split large" : "split", role: "img", "aria-label": words || "no traffic" }, segments);
}

/** The names with their shares, in the colours of the bar. */
export function legend(gateway) {
  const entry = (u) => h("li", {},
    h("span", { class: `key v${u.index}`, "aria-hidden": "true" }),
    h("div", {}, h("span", { class: "name" }, u.name),
      u.role !== "other" && h("span", { class: "faint" }, u.role),
      [u.model, u.version].some(Boolean) && h("span", { class: "faint name" }, [u.model, u.version].filter(Boolean).join(" ")),
      h("strong", {}, percent(u.weight))));
  return h("ul", { class: "legend" }, versions(gateway).map(entry));
}
