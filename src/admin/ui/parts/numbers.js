// What Envoys measured in the last minute: a row for each version, and how it differs from the primary.

import { h, wide } from "../lib/dom.js";
import { count, latency, rate, share } from "../lib/format.js";
import { versions } from "../lib/roles.js";

const COLUMNS = [
  ["Requests", "requestRate", rate],
  ["Errors", "errorRate", share],
  ["p50", "p50", latency],
  ["p95", "p95", latency],
  ["p99", "p99", latency],
];

export function numbers(gateway, measured) {
  if (!measured) return h("p", { class: "faint" }, "Asking Envoys…");
  const index = new Map(versions(gateway).map((u) => [u.name, u.index]));
  const known = Object.entries(measured.upstreams);
  const order = ([name]) => index.get(name) ?? 9;
  const rows = known.sort((a, b) => order(a) - order(b)).map(([name, numbers]) => row(name, index.get(name) ?? 5, numbers, name !== measured.primary));
  if (measured.shadow) rows.push(row(`${measured.shadow.upstream} (shadow)`, 5, measured.shadow, true));
  return wide("The last minute, by version", h("table", { class: "numbers" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Version"), COLUMNS.map(([name]) => h("th", { scope: "col" }, name)), h("th", { scope: "col" }, "In flight"), h("th", { scope: "col" }, "Healthy"))),
    h("tbody", {}, rows)));
}

function row(name, index, numbers, isCompared) {
  const recent = numbers.lastMinute;
  const difference = isCompared ? numbers.difference : null;
  const cell = ([, key, format]) => {
    const by = difference?.[key];
    const isNews = by !== null && by !== undefined && key !== "requestRate" && Math.abs(by) > 1e-9;
    return h("td", {}, recent[key] === null ? h("span", { class: "faint" }, "–") : format(recent[key]),
      isNews && h("span", { class: by > 0 ? "more" : "less" }, `${by > 0 ? "+" : "−"}${format(Math.abs(by))}`));
  };
  const { endpoints, healthyEndpoints } = numbers;
  const isIll = endpoints > 0 && healthyEndpoints < endpoints;
  return h("tr", {},
    h("th", { scope: "row" }, h("span", { class: `key v${index}`, "aria-hidden": "true" }), h("span", { class: "name" }, name)),
    COLUMNS.map(cell),
    h("td", {}, count(numbers.inFlight)),
    h("td", { class: isIll ? "ill" : null }, endpoints ? `${healthyEndpoints} of ${endpoints}` : h("span", { class: "faint" }, "–")));
}
