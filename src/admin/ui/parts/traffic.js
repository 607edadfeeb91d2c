// The split of a gateway whose file has the weights: a slider, and Promote, both of which edit that file.

import { ask, at } from "../lib/api.js";
import { h, say } from "../lib/dom.js";
import { percent } from "../lib/format.js";
import { pair, versions } from "../lib/roles.js";
import { mayNotEdit } from "../lib/session.js";
import { button } from "./button.js";
import { confirm } from "./dialog.js";
import { slider } from "./slider.js";

/** The buttons; `tag` is the entity tag of the file, without which nothing can be changed. */
export function traffic(gateway, isLive, tag) {
  const { primary, canary } = pair(gateway);
  if (!primary || !canary || !gateway.serving) return null;
  const why = mayNotEdit() ?? (isLive ? null : "Serin does not answer now.") ?? (tag ? null : "The file cannot be changed from here.");
  const others = versions(gateway).filter((u) => u.role === "other" && u.weight > 0);
  const room = 100 - others.reduce((sum, u) => sum + u.weight, 0);
  const write = async (share) => {
    const weights = Object.fromEntries(versions(gateway).filter((u) => u.weight > 0 || u === canary || u === primary).map((u) => [u.name, u.weight]));
    weights[canary.name] = share;
    weights[primary.name] = Math.round((room - share) * 100) / 100;
    try {
      await ask("PUT", at(gateway.name, "/traffic"), { body: weights, headers: { "if-match": tag } });
      say(`${canary.name} gets ${percent(share)}`);
    } catch (problem) {
      if (problem.status === 412) throw new Error("The file was changed meanwhile. Close this, and look again.");
      throw problem;
    }
  };
  const edit = () => confirm({
    title: `How much for ${canary.name}?`, agree: "Write the file",
    says: ["The weights in the gateway file are changed, and nothing else in it. Envoys have them a moment later."],
    body: slider({ name: "share", value: canary.weight, primary: primary.name, canary: canary.name }),
    act: ({ share }) => write(Number(share)),
  });
  const all = () => confirm({
    title: `Give ${canary.name} all traffic?`, agree: "Promote",
    says: [`${canary.name} gets ${percent(room)}, ${primary.name} ${percent(0)}: in the gateway file, and at Envoys a moment later. ${primary.name} stays in the file.`],
    act: () => write(room),
  });
  const none = () => confirm({
    title: `Take ${canary.name} off?`, agree: "Take off", danger: true,
    says: [`All its requests go to ${primary.name} again. ${canary.name} stays in the file with ${percent(0)}.`],
    act: () => write(0),
  });
  return h("div", { class: "verbs", role: "group", "aria-label": "Change the split" },
    others.length === 0 && button("Change weights", edit, { why, key: "weights" }),
    canary.weight < room && button("Promote", all, { why, kind: "primary", key: "promote-traffic" }),
    canary.weight > 0 && button("Take off", none, { why, kind: "danger quiet", key: "take-off" }));
}
