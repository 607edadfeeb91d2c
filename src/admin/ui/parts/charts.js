// Request rate, error rate and latency of each version in the last minutes, with what was decided marked.

import { h } from "../lib/dom.js";
import { latency, rate, share } from "../lib/format.js";
import { now } from "../lib/link.js";
import { versions } from "../lib/roles.js";
import { chart } from "./chart.js";

const SPANS = [[3, "3 min"], [15, "15 min"]];
const KEPT = 200;

/** Of which entries the charts have a mark, and with which word. */
const MARKS = {
  advanced: (entry) => [weight(entry), "step"],
  started: () => ["start", "step"],
  "weight-set": (entry) => [weight(entry), "step"],
  undone: (entry) => [weight(entry) || "undone", "step"],
  changed: (entry) => [weight(entry), "step"],
  promoted: () => ["promoted", "good"],
  baking: () => ["bake", "step"],
  "rolled-back": () => ["rolled back", "bad"],
  paused: () => ["paused", "held"],
};

/** The smallest share after a change is most often that of the canary. */
function weight({ after }) {
  const parts = Object.values(after ?? {}).filter((w) => w > 0);
  return parts.length > 1 ? `${Math.min(...parts)} %` : parts.length ? "100 %" : "";
}

export function charts() {
  const all = [
    { chart: chart("Requests a second", (v) => rate(v)), read: (done, seconds) => done.requests / seconds, least: 1, empty: 0 },
    { chart: chart("Error rate", (v) => share(v)), read: (done) => (done.requests > 0 ? done.errors / done.requests : null), least: 0.01, empty: null },
    { chart: chart("Latency", (v) => latency(v)), read: (done, _, quantile) => done[quantile], least: 0.01, empty: null },
  ];
  let points = [];
  let state = { gateway: null, journal: [] };
  let span = SPANS[0][0];
  let quantile = "p99";
  const choice = (label, values, is, set) => {
    const group = h("div", { class: "chips", role: "group", "aria-label": label });
    const buttons = values.map(([value, name]) => h("button", { type: "button", class: "chip", "aria-pressed": String(value === is), on: { click: () => {
      set(value);
      buttons.forEach((b, i) => b.setAttribute("aria-pressed", String(values[i][0] === value)));
      draw();
    } } }, name));
    group.append(...buttons);
    return group;
  };
  const element = h("div", {},
    h("div", { class: "row tools" },
      choice("How long back", SPANS, span, (value) => { span = value; }),
      choice("Latency of", [["p50", "p50"], ["p95", "p95"], ["p99", "p99"]], quantile, (value) => { quantile = value; })),
    h("div", { class: "charts" }, all.map(({ chart: one }) => one.element)));

  const draw = () => {
    if (!state.gateway) return;
    const to = points.at(-1)?.at ?? Math.floor(now() / 5000) * 5000;
    const from = to - span * 60_000;
    const shown = points.filter((p) => p.at >= from);
    const names = versions(state.gateway);
    const had = new Set(shown.flatMap((p) => Object.keys(p.upstreams)));
    const known = names.filter((u) => had.has(u.name) || u.role !== "other");
    const marks = state.journal.filter((e) => MARKS[e.kind]).map((entry) => {
      const [label, kind] = MARKS[entry.kind](entry);
      return { at: Date.parse(entry.time), label, kind, says: entry.message };
    });
    for (const { chart: one, read, least, empty } of all) {
      const series = known.map((u) => ({
        name: u.name, index: u.index,
        points: shown.map((p) => [p.at, p.upstreams[u.name] ? read(p.upstreams[u.name], p.seconds, quantile) : empty]),
      }));
      one.draw({ from, to, series, marks, least });
    }
  };
  return {
    element,
    show(gateway, journal) {
      state = { gateway, journal };
      draw();
    },
    take(fresh) {
      const last = points.at(-1)?.at ?? 0;
      points = [...points, ...fresh.filter((p) => p.at > last)].slice(-KEPT);
      draw();
    },
    end: () => all.forEach(({ chart: one }) => one.end()),
  };
}
