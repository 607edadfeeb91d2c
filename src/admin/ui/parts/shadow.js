// A shadow: who gets copies, and, where answers are compared, how many of them agree with those that clients got.

import { h } from "../lib/dom.js";
import { count, moment, percent } from "../lib/format.js";
import { agreement } from "./agreement.js";
import { KINDS, REASONS } from "./differences.js";
import { latencies } from "./latencies.js";

/** `isFirst`: a release waits for these answers, by a rule of its own that stands with its steps. */
export function shadow(of, report, isFirst) {
  const told = h("p", {}, h("strong", { class: "name" }, of.upstream), of.percent > 0
    ? ` gets copies of ${percent(of.percent)} of the requests. Nobody gets its answers.` : " gets no copies of requests now.");
  if (!report) return [told, h("p", { class: "faint" }, "Its answers are not compared with those that clients get; its numbers stand under Live.")];
  const pairs = report.pairs.filter((pair) => pair.primary || pair.compared > 0 || Object.keys(pair.notCompared).length > 0)
    .sort((a, b) => Number(b.primary) - Number(a.primary));
  return [told,
    h("p", { class: "faint" }, "Compared: ", h("code", {}, report.path), ` of both answers, since ${moment(report.since)}.`),
    report.replica && h("p", { class: "faint" }, "These are the answers of Envoys that send them to ", h("span", { class: "name" }, report.replica),
      ". Other replicas have theirs; a release counts all."),
    pairs.length > 0 ? h("ul", { class: "comparisons" }, pairs.map((pair) => comparison(pair, report, isFirst)))
      : h("p", { class: "faint" }, "No answer was seen yet."),
    unused("Answers of which the other half is not known", report.notPaired)];
}

const VERDICTS = { met: ["Enough agree", "good"], missed: ["Too few agree", "refused"], open: ["Not known yet", "stale"] };

/** The answers of one upstream, and the shadow's. */
function comparison(pair, report, isFirst) {
  const [words, state] = VERDICTS[pair.verdict];
  return h("li", {},
    h("div", { class: "head" }, h("h3", { class: "name" }, `Against ${pair.upstream}`), pair.primary && h("span", { class: "tag" }, "primary"),
      !isFirst && h("span", { class: "pill", "data-state": state }, words)),
    agreement({ matched: pair.matched, compared: pair.compared, interval: pair.interval, wanted: isFirst ? null : report.minMatch, looks: "95 % confidence" }),
    pair.live && latencies([[pair.upstream, pair.live], [`${report.shadow} (shadow)`, pair.shadow]]),
    pair.mismatches.length > 0 && h("div", {}, h("h4", {}, "How they differ"), h("ul", { class: "mismatches" }, pair.mismatches.map((m) => mismatch(m, pair)))),
    unused("Not compared", pair.notCompared));
}

function mismatch({ kind, count: number, examples }, { compared, matched }) {
  const fill = h("span", {});
  fill.style.inlineSize = `${(100 * number) / Math.max(compared - matched, 1)}%`;
  return h("li", {},
    h("div", { class: "kind" }, h("span", {}, KINDS[kind] ?? kind), h("span", { class: "meter", "aria-hidden": "true" }, fill), h("strong", {}, count(number))),
    examples.length > 0 && h("ul", { class: "examples" }, examples.map((e) => h("li", {},
      h("code", {}, e.place), h("span", {}, h("span", { class: "faint" }, "client "), e.live), h("span", {}, h("span", { class: "faint" }, "shadow "), e.shadow),
      h("span", { class: "faint name" }, `request ${e.request}`)))));
}

function unused(title, reasons) {
  const some = Object.entries(reasons).filter(([, number]) => number > 0).sort((a, b) => b[1] - a[1]);
  return some.length > 0 && h("p", { class: "faint" }, `${title}: `, some.map(([reason, number]) => `${count(number)} ${REASONS[reason] ?? reason}`).join(", "), ".");
}
