// What operators can do to a release: a button for each verb that its phase allows, and a question that says what it
// will do. Serin decides; what it refuses is shown with its reason.

import { h, say } from "../lib/dom.js";
import { ask, at } from "../lib/api.js";
import { percent } from "../lib/format.js";
import { mayNotAct } from "../lib/session.js";
import { link } from "../lib/link.js";
import { button } from "./button.js";
import { confirm } from "./dialog.js";
import { slider } from "./slider.js";

// As rollout/orders.rs has it: in which phases a verb does something.
const ALLOWED = {
  promote: ["Progressing", "Holding", "Paused", "Baking"],
  pause: ["Waiting", "Progressing", "Holding", "Baking"],
  resume: ["Paused"],
  "set-weight": ["Waiting", "Progressing", "Holding", "Paused", "Baking", "Promoted"],
  undo: ["Progressing", "Holding", "Paused", "Baking", "Promoted"],
  retry: ["RolledBack"],
  abort: ["Waiting", "Progressing", "Holding", "Paused", "Baking"],
};

export const allowed = (verb, phase) => ALLOWED[verb].includes(phase);

/** The buttons of a gateway. */
export function verbs(gateway, isLive) {
  const release = gateway.rollout;
  const why = mayNotAct() ?? (isLive ? null : "Serin does not answer now.");
  const shown = ["promote", "pause", "resume", "set-weight", "undo", "retry", "abort"].filter((verb) => allowed(verb, release.phase));
  if (!shown.length) return null;
  return h("div", { class: "verbs", role: "group", "aria-label": "Steer the release" }, shown.map((verb) => {
    const { name, kind = "" } = question(verb, gateway);
    return button(name, () => open(verb, gateway), { why, kind: emphasis(verb, kind, release.paused), key: `verb-${verb}` });
  }));
}

/** One button at most is the one that is most often meant; which that is in a pause, its cause says. */
function emphasis(verb, kind, cause) {
  if (kind !== "primary" || !cause) return kind;
  return (verb === "promote" && cause === "manualStep") || (verb === "resume" && cause === "operator") ? kind : "";
}

/** Asks for a verb. */
export function open(verb, gateway, more = {}) {
  const { act: read = () => ({}), ...asked } = question(verb, gateway, more);
  confirm({ ...asked, reason: true, act: (said) => order(verb, gateway, { ...read(said), reason: said.reason || undefined }) });
}

async function order(verb, gateway, body) {
  if (link().is !== "live") throw new Error("What is shown is not of now; try again when this page is live.");
  const headers = { "if-match": `"${gateway.rollout.revision}"` };
  try {
    const { body: outcome } = await ask("POST", at(gateway.name, `/actions/${verb}`), { body, headers });
    say(outcome.message);
  } catch (problem) {
    if (problem.status === 412) throw new Error("The release has moved on while you were reading. Close this, and look again.");
    throw problem;
  }
}

/** The next step above a weight. */
const next = (release) => release.steps.map((step) => step.weight).find((weight) => weight > release.weight);

function question(verb, gateway, { revision, to } = {}) {
  const { phase, primary, canary, weight, ...release } = gateway.rollout;
  const now = `${canary} gets ${percent(weight)} of the requests now.`;
  switch (verb) {
    case "promote": {
      const step = next({ weight, ...release });
      const isEnd = phase === "Baking" || (step === undefined && weight === 100);
      const says = isEnd
        ? [`The bake ends now: ${canary} keeps all traffic, and the release is done.`]
        : [now, `It gets ${percent(step ?? 100)} at once, without waiting for the evidence of this step. It is still watched, and taken off if it does harm.`];
      const full = !isEnd && h("label", { class: "check" }, h("input", { type: "checkbox", name: "full", value: "yes" }),
        h("span", {}, `All the way: ${percent(100)} now and for good, no bake. It is not watched any more.`));
      return { name: "Promote", kind: "primary", title: isEnd ? `Finish the release of ${canary}?` : `Give ${canary} the next step?`, says, body: full, agree: "Promote", act: ({ full: all }) => (all ? { full: true } : {}) };
    }
    case "pause":
      return { name: "Pause", title: "Pause the release?", agree: "Pause",
        says: [now, "It stays there, whatever the evidence for it, until somebody says Resume. It is still watched, and taken off if it does harm."] };
    case "resume":
      return { name: "Resume", kind: "primary", title: "Let the release go on?", agree: "Resume",
        says: [now, "It goes on by itself from there, step by step, as the evidence allows."] };
    case "retry":
      return { name: "Retry", kind: "primary", title: `Release ${canary} again?`, agree: "Retry",
        says: [`${canary} was rolled back. The release begins again at the first step, ${percent(release.steps[0]?.weight ?? 0)}, with no evidence, as soon as ${canary} has a healthy endpoint.`] };
    case "abort":
      return { name: "Abort", kind: "danger quiet", title: `Take ${canary} off?`, agree: "Abort", danger: true,
        says: [`${now} All of them go to ${primary} at once.`, `${canary} stays at ${percent(0)} until its upstream is edited or somebody says Retry.`] };
    case "undo": {
      const whole = phase === "Promoted" && revision === undefined;
      const target = revision === undefined ? "Back to the weight before." : `Back to ${percent(to)}, as it was at revision ${revision}.`;
      const says = whole
        ? [`The release is taken back as a whole: all requests go to ${primary} at once.`]
        : [now, target, "Then the release is paused, until somebody says Resume."];
      return { name: "Undo", title: whole ? `Take the release of ${canary} back?` : "Take back the last change?", says, agree: whole ? "Take back" : "Undo", danger: whole,
        act: () => (revision === undefined ? {} : { toRevision: revision }) };
    }
    case "set-weight":
      return { name: "Set weight", title: `How much for ${canary}?`, agree: "Set weight", says: ["It gets this share at once. Then the release is paused, until somebody says Resume."],
        body: slider({ name: "weight", value: weight, primary, canary }), act: ({ weight: chosen }) => ({ weight: Number(chosen) }) };
    default:
      throw new Error(verb);
  }
}
