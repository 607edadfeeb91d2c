// What this Serin is, who you are here, and how the pages look.

import { h, replace, wide } from "../lib/dom.js";
import { get } from "../lib/api.js";
import { count, moment } from "../lib/format.js";
import { onLink } from "../lib/link.js";
import { poll } from "../lib/live.js";
import { onSession, who } from "../lib/session.js";
import { THEMES, setTheme, theme } from "../lib/theme.js";

export function settings(main) {
  const facts = h("dl", { class: "facts stale-able" });
  const unready = h("p", { class: "notice" });
  const person = h("div", {});
  const others = h("div", {});
  main.append(
    h("div", { class: "head" }, h("h1", {}, "Settings")),
    h("div", { class: "stack" }, h("section", { class: "card", "aria-labelledby": "here" }, h("h2", { id: "here" }, "This Serin"), facts, unready,
      h("p", {}, "Everything on these pages is in the API at ", h("code", {}, "/api/v1"), "; metrics for Prometheus are at ", h("a", { href: "/metrics" }, "/metrics"), ".")),
    others,
    h("section", { class: "card", "aria-labelledby": "you" }, h("h2", { id: "you" }, "You"), person),
    h("section", { class: "card", "aria-labelledby": "look" }, h("h2", { id: "look" }, "Look"), look())));

  const unsession = onSession((session) => {
    const { name, role, loginNeeded, editing, known } = session;
    const rights = role === "operator" ? "You may look and give orders."
      : role === "viewer" ? `You may look, and give no orders: ${editing.reason}.` : known ? "Log in to see more." : "Serin does not say who you are here.";
    replace(person, h("p", {}, name ? [h("strong", {}, name), `, ${role}. `] : "", rights),
      known && role === "operator" && h("p", {}, editing.allowed ? "Gateway files can be changed from these pages." : `Gateway files cannot be changed from here: ${editing.reason}.`),
      loginNeeded && !who().role && h("a", { class: "button primary", href: "/login" }, "Log in"));
  });
  const show = (state, { gateways, proxies, version } = {}) => replace(facts, [
    ["Address", location.host],
    ["State", state],
    ["Gateways", gateways ? count(gateways.length) : "–"],
    ["In error", gateways ? count(gateways.filter((g) => g.phase === "Invalid").length) : "–"],
    ["Envoys", proxies ? count(proxies.length) : "–"],
    ["Version", version ?? "–"],
  ].map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, value))));
  let heard = null;
  const end = poll(async () => {
    const [{ proxies }, planes, { gateways, why }] = await Promise.all([get("proxies"), get("replicas"), known()]);
    heard = { gateways, proxies, version: planes.replicas.find((one) => one.answers)?.version };
    show(gateways ? pill("good", "Ready") : pill("stale", "Not ready"), heard);
    unready.textContent = gateways ? "" : `It is not known yet which gateways there are: ${why}. Envoys are answered nothing until then, and keep what they have.`;
    replace(others, planes.shared && replicas(planes));
  });
  // The numbers of before stand, and the frame says that they are old; whether it is ready now nobody knows.
  const unlink = onLink(({ is }) => {
    if (is === "lost" || !heard) show(h("span", { class: "faint" }, is === "lost" ? "Not known" : "Asking Serin…"), heard ?? {});
  });
  return {
    title: "Settings",
    end: () => {
      unlink();
      unsession();
      end();
    },
  };
}

/** All gateways; or, before all files were read once, why they are not known. */
async function known() {
  try {
    return await get("gateways");
  } catch (problem) {
    if (problem.status !== 503) throw problem;
    return { why: problem.message.replace("; ask again", "") };
  }
}

const pill = (state, words) => h("span", { class: "pill", "data-state": state }, words);

/** All control planes with the same store. */
function replicas({ leader, failure, replicas: all }) {
  const who = failure ? `It is not known who leads: ${failure}.` : leader ? `${leader} leads the releases. Orders are carried out there, wherever they are given; files change there.` : "No control plane leads at the moment.";
  const row = (one) => h("tr", {},
    h("th", { scope: "row" }, one.name, one.answers && " (this one)"),
    h("td", {}, one.silent ? pill("refused", "Silent") : failure ? pill("stale", "Not known") : pill("good", one.leads ? "Leads" : "Follows")),
    h("td", {}, one.version),
    h("td", {}, one.since ? moment(one.since) : "–"),
    h("td", {}, count(one.gateways)),
    h("td", {}, files(one)));
  const heads = ["Name", "State", "Version", "Since", "Gateways", "Files"].map((name) => h("th", { scope: "col" }, name));
  const what = "All control planes with the same store";
  return h("section", { class: "card", "aria-labelledby": "planes" }, h("h2", { id: "planes" }, "Control planes"), h("p", {}, who),
    wide(what, h("table", { class: "plain-table" }, h("caption", { class: "unseen" }, what),
      h("thead", {}, h("tr", {}, heads)), h("tbody", {}, all.map(row)))));
}

function files({ leads, differing }) {
  if (leads || differing === null) return leads ? "The leader’s" : "Not known";
  if (differing.count === 0) return "As the leader’s";
  const more = differing.count > differing.names.length ? ", …" : "";
  return pill("refused", `${count(differing.count)} differ: ${differing.names.join(", ")}${more}`);
}

function look() {
  const words = { system: "As the system has it", light: "Light", dark: "Dark" };
  return h("fieldset", {}, h("legend", {}, "Colours"), THEMES.map((name) => h("label", { class: "check" },
    h("input", { type: "radio", name: "theme", value: name, checked: theme() === name, on: { change: () => setTheme(name) } }),
    h("span", {}, words[name]))));
}
