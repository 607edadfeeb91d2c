// The steps of a release: which are done, which is now and what it waits for, which come.

import { h } from "../lib/dom.js";
import { count, percent, time } from "../lib/format.js";
import { agreement } from "./agreement.js";

export function steps(release) {
  const { weight, phase } = release;
  const isOver = phase === "Promoted" || phase === "RolledBack" || phase === "Stable";
  const all = release.steps.map((step) => {
    const is = phase === "Promoted" || weight > step.weight || (phase === "Baking" && weight === step.weight) ? "done"
      : weight === step.weight && !isOver && phase !== "Waiting" ? "now" : "ahead";
    const pause = step.pauseSeconds === null ? "by hand" : time(step.pauseSeconds);
    return item(is, percent(step.weight), is === "now" ? null : pause);
  });
  const first = release.shadowFirst ? item("now", "Shadow", null)
    : release.beginsShadowed ? item(weight > 0 || phase === "Promoted" ? "done" : "ahead", "Shadow", "no traffic") : null;
  const bake = item(phase === "Baking" ? "now" : phase === "Promoted" ? "done" : "ahead", "Bake", null);
  const end = item(phase === "Promoted" ? "done" : "ahead", "Promoted", null);
  return h("ol", { class: "steps", "aria-label": "Steps" }, first, all, bake, end);
}

function item(is, name, note) {
  const words = { done: "done", now: "now", ahead: "to come" };
  return h("li", { class: is, "aria-current": is === "now" ? "step" : null },
    h("span", { class: "mark", "aria-hidden": "true" }),
    h("span", {}, name, h("span", { class: "unseen" }, `, ${words[is]}`)),
    note && h("span", { class: "faint" }, note));
}

/** What the step that is now waits for: time, and requests. */
export function progress(release) {
  if (release.shadowFirst) return before(release.shadowFirst);
  if (!["Progressing", "Holding", "Paused", "Baking"].includes(release.phase)) return null;
  const step = release.steps.find((s) => s.weight === release.weight);
  const rows = [];
  if (step && release.phase !== "Baking") {
    const watched = release.watchedSeconds;
    rows.push(step.pauseSeconds === null
      ? meter("Time at this step", 1, `${time(watched)}, until somebody says Promote`)
      : watched >= step.pauseSeconds ? meter("Time at this step", 1, `${time(watched)}, enough`)
        : meter("Time at this step", watched / step.pauseSeconds, `${time(watched)} of at least ${time(step.pauseSeconds)}`));
  } else {
    rows.push(meter("Time at this weight", null, time(release.watchedSeconds)));
  }
  // Where harm is shown, no number of requests leads to the next step.
  if (release.requests !== undefined && release.paused !== "failure") {
    const needed = release.requestsNeeded;
    rows.push(needed > release.requests
      ? meter("Requests of the canary", release.requests / needed, `${count(release.requests)} of about ${count(Math.ceil(needed))}`)
      : meter("Requests of the canary", 1, `${count(release.requests)}, enough`));
  }
  return h("dl", { class: "progress" }, rows);
}

/** What the first step waits for, while the canary is shadowed. */
function before({ compared, matched, low, high, minMatch }) {
  return h("div", { class: "before" },
    h("p", { class: "faint" }, "Before the first step nobody gets an answer of the canary: it gets copies, and its predictions are compared."),
    agreement({ matched, compared, interval: [low, high], wanted: minMatch, looks: "at the confidence of the rollout" }));
}

function meter(name, part, words) {
  const fill = h("span", {});
  if (part !== null) fill.style.inlineSize = `${100 * Math.min(Math.max(part, 0), 1)}%`;
  return [h("dt", {}, name), h("dd", {}, part !== null && h("span", { class: "meter", "aria-hidden": "true" }, fill), h("span", {}, words))];
}
