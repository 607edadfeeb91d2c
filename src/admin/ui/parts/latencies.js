// How long answers took, of the client's and the shadow's side of the same requests.

import { h, wide } from "../lib/dom.js";
import { latency } from "../lib/format.js";

const COLUMNS = [["Mean", "mean"], ["p50", "p50"], ["p95", "p95"]];

/** Rows are a name and a spread in seconds, or null. */
export function latencies(rows) {
  return wide("How long answers took", h("table", {},
    h("thead", {}, h("tr", {}, ["Latency", ...COLUMNS.map(([name]) => name)].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows.map(([name, spread]) => h("tr", {}, h("th", { scope: "row" }, h("span", { class: "name" }, name)),
      COLUMNS.map(([, key]) => h("td", {}, latency(spread?.[key]))))))));
}
