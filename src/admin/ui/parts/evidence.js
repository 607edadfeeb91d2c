// What each test knows: a sentence with its numbers, and a bar from the middle towards either decision.

import { h } from "../lib/dom.js";
import { count, latency, moment, percent, round, sentence, share } from "../lib/format.js";

export function evidence(release) {
  const { canary, primary } = release;
  const isOver = release.phase === "RolledBack" || release.phase === "Promoted";
  const tests = release.evidence.map((test) => one(test, canary, primary, isOver));
  const others = (release.metrics ?? []).map((metric) => other(metric, canary, primary));
  if (!tests.length && !others.length) return h("p", { class: "faint" }, "There is no evidence until the canary gets requests.");
  return [
    h("p", { class: "faint how" }, "A bar grows to the left towards a roll-back, and to the right towards the next step." + (isOver ? " The release is over; this is the evidence at its end." : "")),
    h("ul", { class: "evidence" }, tests, others),
  ];
}

function title(test, canary, primary) {
  const { test: name, limit, threshold } = test;
  if (name === "errors") return `Errors, against ${primary}`;
  if (name === "ceiling") return `Errors, at most ${round(share(limit))}`;
  if (name === "stall") return "Requests that do not end";
  if (name === "shadow") return "Predictions that differ";
  if (name.startsWith("user:")) return name.slice(5);
  return threshold ? `Latency ${name}: slower than ${latency(threshold.canary)}` : `Latency ${name}`;
}

const mean = ({ events, requests }) => (requests > 0 ? events / requests : null);

function one(test, canary, primary, isOver) {
  const seen = mean(test.canary);
  const rates = seen === null ? `${canary} had no requests to judge yet`
    : `${canary} ${share(seen)} of ${count(test.canary.requests)}`;
  const beside = test.primary ? `, ${primary} ${share(mean(test.primary))} of ${count(test.primary.requests)}`
    : test.limit !== null && test.limit !== undefined ? `, allowed ${round(share(test.limit))}` : "";
  const range = seen === null ? null : `The true rate of ${canary} is between ${share(test.canary.low)} and ${share(test.canary.high)} (95 % confidence).`;
  const harm = part(test.harm, test.harmNeeded);
  const asked = test.safetyNeeded !== null && test.safetyNeeded !== undefined;
  const safety = asked ? part(test.safety, test.safetyNeeded) : null;
  const verdict = harm >= 1 ? "Harm is shown."
    : isOver ? ""
    : safety === null ? "Looks for harm only."
      : safety >= 1 ? "Enough for the next step."
        : test.missingRequests ? `About ${count(Math.ceil(test.missingRequests))} more requests for the next step, at this pace.` : "Not enough evidence yet.";
  return h("li", {},
    h("h3", {}, title(test, canary, primary)),
    towards(harm, safety),
    h("p", {}, `${rates}${beside}. `, h("strong", {}, verdict)),
    range && h("p", { class: "faint" }, range));
}

const part = (has, needs) => Math.min(Math.max(has / needs, 0), 1);

function towards(harm, safety) {
  const words = `${share(harm)} of the evidence that rolls back` + (safety === null ? "" : `, ${share(safety)} of the evidence for the next step`);
  const [bad, good] = [h("span", { class: "harm" }), h("span", { class: "safety" })];
  bad.style.inlineSize = `${50 * harm}%`;
  good.style.inlineSize = `${50 * (safety ?? 0)}%`;
  return h("div", { class: safety === null ? "towards half" : "towards", role: "img", "aria-label": words, title: words }, bad, good);
}

function other(metric, canary, primary) {
  const value = metric.value === undefined ? "No answer yet" : `${canary} ${Number(metric.value.toPrecision(4))}`;
  const beside = metric.primary === undefined ? "" : `, ${primary} ${Number(metric.primary.toPrecision(4))}`;
  const badness = metric.badness;
  const bar = h("span", { class: "harm" });
  bar.style.inlineSize = `${50 * (badness ?? 0)}%`;
  return h("li", {},
    h("h3", {}, metric.name, " ", h("span", { class: "faint" }, metric.provider), metric.dryRun && h("span", { class: "tag" }, "decides nothing")),
    badness !== undefined && h("div", { class: "towards half", role: "img", "aria-label": `badness ${percent(Math.round(badness * 100))}` }, bar),
    h("p", {}, `${value}${beside}${metric.at ? `, at ${moment(metric.at)}` : ""}.`),
    metric.problem && h("p", { class: "problem" }, sentence(metric.problem)));
}
