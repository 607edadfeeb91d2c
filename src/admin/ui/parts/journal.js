// What happened, newest first, in sentences; and the weights that a release had, each with a way back.

import { h, wide } from "../lib/dom.js";
import { moment, percent, time } from "../lib/format.js";
import { now } from "../lib/link.js";
import { button } from "./button.js";
import { allowed, open } from "./verbs.js";
import { mayNotAct } from "../lib/session.js";

const BAD = ["rolled-back", "invalid", "refused", "alarm"];
const GOOD = ["promoted", "repaired"];
const BEGIN = 12;

/** `unread`: why it cannot be read now, so that there may be more. */
export function journal(entries, isAll, showAll, unread) {
  const gap = unread && h("p", { class: "refusal" }, `The journal cannot be read: ${unread}. It is asked again by itself.`);
  if (!entries.length && gap) return gap;
  if (!entries.length) return h("p", { class: "faint" }, "Nothing has happened yet.");
  const shown = isAll ? entries : entries.slice(0, BEGIN);
  const item = (entry) => {
    const kind = BAD.includes(entry.kind) ? "bad" : GOOD.includes(entry.kind) ? "good" : "";
    return h("li", { class: kind },
      h("time", { datetime: entry.time, title: entry.time }, moment(entry.time)),
      h("div", {},
        h("p", {}, h("span", { class: "tag" }, entry.kind), " ", entry.message),
        h("p", { class: "faint" }, `by ${entry.actor}`, entry.reason && ` · ${entry.reason}`, entry.revision && ` · revision ${entry.revision}`)));
  };
  return [
    gap,
    h("ol", { class: "journal" }, shown.map(item)),
    shown.length < entries.length && h("button", { type: "button", "data-key": "all-entries", on: { click: showAll } }, `Show all ${entries.length}`),
  ];
}

export function revisions(gateway, isLive) {
  const { weights, revision: current, phase } = gateway.rollout;
  const last = weights.at(-1);
  const why = mayNotAct() ?? (isLive ? null : "Serin does not answer now.") ?? (allowed("undo", phase) ? null : `Nothing can be taken back in phase ${phase}.`);
  const row = (at) => h("tr", {},
    h("td", {}, at.revision),
    h("td", {}, h("time", { datetime: at.time, title: at.time }, `${time((now() - Date.parse(at.time)) / 1000)} ago`)),
    h("td", {}, percent(at.weight)),
    h("td", {}, at === last ? h("span", { class: "faint" }, "now")
      : button("Go back to this", () => open("undo", gateway, { revision: at.revision, to: at.weight }), { why, kind: "small", key: `undo-${at.revision}` })));
  return wide(`Weights of ${gateway.rollout.canary}`, h("table", { class: "plain-table" },
    h("caption", { class: "unseen" }, `Weights of ${gateway.rollout.canary}; the release is at revision ${current}`),
    h("thead", {}, h("tr", {}, ["Revision", "When", `Share of ${gateway.rollout.canary}`].map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col" }, h("span", { class: "unseen" }, "Back")))),
    h("tbody", {}, [...weights].reverse().map(row))));
}
