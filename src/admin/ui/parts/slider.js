// A share of two: a slider for the pointer, a number for the keyboard, and a bar that says what both mean.

import { h, unique } from "../lib/dom.js";
import { percent } from "../lib/format.js";
import { bar } from "./split.js";

/** `name` is the field of the form. `changed` hears of each new share. */
export function slider({ name, value, primary, canary, changed = () => {} }) {
  const [range, number] = [unique("share"), unique("share")];
  const picture = h("div", { class: "picture" });
  const slide = h("input", { id: range, type: "range", min: 0, max: 100, step: 1, "aria-label": `Share of ${canary} in percent` });
  const field = h("input", { id: number, name, type: "number", min: 0, max: 100, step: "0.01", required: true, inputmode: "decimal" });
  const show = (share) => {
    const upstreams = [{ name: primary, weight: round(100 - share) }, { name: canary, weight: share }];
    const gateway = { upstreams, rollout: { primary, canary } };
    slide.setAttribute("aria-valuetext", `${canary} ${percent(share)}, ${primary} ${percent(round(100 - share))}`);
    picture.replaceChildren(bar(gateway, { large: true }),
      h("p", { class: "ends" }, h("span", {}, `${primary} ${percent(round(100 - share))}`), h("span", {}, `${canary} ${percent(share)}`)));
    changed(share);
  };
  slide.value = value;
  field.value = value;
  slide.addEventListener("input", () => {
    field.value = slide.value;
    show(Number(slide.value));
  });
  field.addEventListener("input", () => {
    const share = Number(field.value);
    if (field.value === "" || !(share >= 0 && share <= 100)) return;
    slide.value = share;
    show(round(share));
  });
  show(value);
  return h("div", { class: "slider" }, picture,
    h("div", { class: "row" }, slide, h("label", { for: number, class: "unseen" }, `Share of ${canary} in percent`), field, h("span", {}, "%")));
}

const round = (n) => Math.round(n * 100) / 100;
