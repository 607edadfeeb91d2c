// What this Serin is, who you are here, and how the pages look.

import { h, replace } from "../lib/dom.js";
import { get } from "../lib/api.js";
import { count } from "../lib/format.js";
import { poll } from "../lib/live.js";
import { onSession, who } from "../lib/session.js";
import { THEMES, setTheme, theme } from "../lib/theme.js";

export function settings(main) {
  const facts = h("dl", { class: "facts" });
  const person = h("div", {});
  main.append(
    h("div", { class: "head" }, h("h1", {}, "Settings")),
    h("section", { class: "card", "aria-labelledby": "here" }, h("h2", { id: "here" }, "This Serin"), facts,
      h("p", {}, "Everything on these pages is in the API at ", h("code", {}, "/api/v1"), "; metrics for Prometheus are at ", h("a", { href: "/metrics" }, "/metrics"), ".")),
    h("section", { class: "card", "aria-labelledby": "you" }, h("h2", { id: "you" }, "You"), person),
    h("section", { class: "card", "aria-labelledby": "look" }, h("h2", { id: "look" }, "Look"), look()));

  const unsession = onSession((session) => {
    const { name, role, loginNeeded, editing, known } = session;
    const rights = role === "operator" ? "You may look and give orders."
      : role === "viewer" ? `You may look, and give no orders: ${editing.reason}.` : known ? "Log in to see more." : "Serin does not say who you are here.";
    replace(person, h("p", {}, name ? [h("strong", {}, name), `, ${role}. `] : "", rights),
      known && role === "operator" && h("p", {}, editing.allowed ? "Gateway files can be changed from these pages." : `Gateway files cannot be changed from here: ${editing.reason}.`),
      loginNeeded && !who().role && h("a", { class: "button primary", href: "/login" }, "Log in"));
  });
  const end = poll(5000, async () => {
    const [{ gateways }, { proxies }] = await Promise.all([get("gateways"), get("proxies")]);
    const invalid = gateways.filter((g) => g.phase === "Invalid").length;
    replace(facts, [["Address", location.host], ["Gateways", count(gateways.length)], ["In error", count(invalid)], ["Envoys", count(proxies.length)]]
      .map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, value))));
  });
  return {
    title: "Settings",
    end: () => {
      unsession();
      end();
    },
  };
}

function look() {
  const words = { system: "As the system has it", light: "Light", dark: "Dark" };
  return h("fieldset", {}, h("legend", {}, "Colours"), THEMES.map((name) => h("label", { class: "check" },
    h("input", { type: "radio", name: "theme", value: name, checked: theme() === name, on: { change: () => setTheme(name) } }),
    h("span", {}, words[name]))));
}
