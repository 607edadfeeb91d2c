// Which part of the predictions agrees, between what the true part is, and what is wanted, on one scale.

import { h } from "../lib/dom.js";
import { count, exact, percent } from "../lib/format.js";

/** `interval` from 0 to 1, `wanted` in percent, or null; `looks` says how sure the interval is. */
export function agreement({ matched, compared, interval: [low, high], wanted, looks }) {
  if (!compared) return h("p", { class: "faint" }, wanted === null ? "Nothing was compared yet." : `Nothing was compared yet. At least ${percent(wanted)} should agree.`);
  const rate = matched / compared;
  const least = wanted === null ? null : wanted / 100;
  const from = begin(Math.min(low, rate, least ?? 1));
  const verdict = least === null ? "open" : low >= least ? "met" : high < least ? "missed" : "open";
  const words = `${exact(rate)} of ${count(compared)} agree, between ${exact(low)} and ${exact(high)}` + (least === null ? "" : `; wanted is ${percent(wanted)}`);
  return [
    h("div", { class: `agreement ${verdict}`, role: "img", "aria-label": words, title: words },
      h("div", { class: "scale" }, span("interval", from, low, high), least !== null && span("wanted", from, least), span("rate", from, rate)),
      h("div", { class: "ends", "aria-hidden": "true" }, h("span", {}, percent(round(100 * from))), h("span", {}, percent(100)))),
    h("p", {}, h("strong", {}, exact(rate)), ` of ${count(compared)} pairs agree`, least !== null && `; at least ${percent(wanted)} should`, ". ",
      h("span", { class: "faint" }, `The true share is between ${exact(low)} and ${exact(high)} (${looks}).`)),
  ];
}

const round = (n) => Math.round(n * 100) / 100;

/** Where the scale begins, so that what is seen on it is most of it: at a round number below all. */
function begin(lowest) {
  const room = Math.max(1 - lowest, 0.001) * 1.25;
  const unit = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1].find((u) => u >= room / 5);
  return Math.max(0, round(1 - unit * Math.ceil(room / unit)));
}

/** A piece of the scale, or a mark on it. */
function span(name, from, low, high = low) {
  const at = (part) => (100 * (part - from)) / (1 - from);
  const piece = h("span", { class: name });
  piece.style.insetInlineStart = `${at(low)}%`;
  if (name === "interval") piece.style.inlineSize = `${at(high) - at(low)}%`;
  return piece;
}
