// The Envoys that are connected: what each has acknowledged, what it refuses and why, what it has not answered yet.

import { h, slot, wide } from "../lib/dom.js";
import { get } from "../lib/api.js";
import { count, moment, time } from "../lib/format.js";
import { poll } from "../lib/live.js";
import { now } from "../lib/link.js";

export function proxies(main) {
  const total = h("span", { class: "faint" });
  const list = slot(h("div", { class: "stale-able" }), (all) => (all.length ? h("ul", { class: "proxies" }, all.map(card)) : nothing()));
  main.append(h("div", { class: "head" }, h("h1", {}, "Proxies"), total), list.element);
  list.element.append(h("p", { class: "empty" }, "Asking Serin…"));
  const end = poll(async () => {
    const { proxies: all } = await get("proxies");
    total.textContent = count(all.length);
    list.show(all);
  }, 2000);
  return { title: "Proxies", end };
}

function nothing() {
  return h("div", { class: "empty" }, h("h2", {}, "No Envoy is connected"),
    h("p", {}, "An Envoy comes with a bootstrap that names this Serin. This prints one:"),
    h("pre", {}, "serin bootstrap > envoy.yaml && envoy -c envoy.yaml"),
    h("p", {}, "Or let Serin run one of its own: ", h("code", {}, "serin up DIR"), "."));
}

const STATES = { refused: "Refuses", old: "Too old for some gateways", stale: "Not yet acknowledged", good: "Up to date" };

/** What an Envoy thinks of one kind of resource. */
function stateOf(type) {
  if (type.refusal) return "refused";
  return type.offered !== null && type.offered !== type.acknowledged ? "stale" : "good";
}

function card(proxy) {
  const types = Object.entries(proxy.types);
  const states = types.map(([, type]) => stateOf(type));
  const { refusedGateways = [], unsupportedGateways = [] } = proxy;
  if (refusedGateways.length > 0) states.push("refused");
  if (unsupportedGateways.length > 0) states.push("old");
  const worst = ["refused", "old", "stale", "good"].find((state) => states.includes(state)) ?? "good";
  const refusals = types.filter(([, type]) => type.refusal);
  const problems = [
    ...refusedGateways.map(({ gateway, closed, message }) => h("li", { class: "error" },
      h("p", {}, h("strong", {}, `It refuses gateway ${gateway}: `), message),
      h("p", { class: "faint" }, closed ? "It answers 503 in its place." : "It serves the version that it took last."))),
    ...unsupportedGateways.map(({ gateway, needsEnvoy }) => h("li", { class: "error" },
      h("p", {}, h("strong", {}, `It is too old for gateway ${gateway}`), `, which needs Envoy ${needsEnvoy}.`),
      h("p", { class: "faint" }, "It answers 503 in its place."))),
    ...refusals.map(([kind, type]) => h("li", { class: "error" },
      h("p", {}, h("strong", {}, `It refuses its ${kind} resources: `), type.refusal),
      h("p", { class: "faint" }, "It goes on with the last ones that it took."))),
  ];
  return h("li", { class: "card" },
    h("div", { class: "head" }, h("h2", { class: "name" }, proxy.id), h("span", { class: "pill", "data-state": worst }, STATES[worst])),
    h("dl", { class: "facts" }, [["Cluster", proxy.cluster || "–"], ["Envoy", proxy.version || "–"], ["Address", proxy.address], ["Protocol", proxy.protocol], ["Connected", moment(proxy.connectedSince)]]
      .map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, value)))),
    problems.length > 0 && h("ul", { class: "problems" }, problems),
    wide(`What ${proxy.id} has`, h("table", { class: "plain-table" },
      h("caption", { class: "unseen" }, `What ${proxy.id} has of each kind`),
      h("thead", {}, h("tr", {}, ["Kind", "State", "Acknowledged", "Sent", "Last contact"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, types.map(([kind, type]) => h("tr", {},
        h("th", { scope: "row" }, kind),
        h("td", {}, h("span", { class: "pill", "data-state": stateOf(type) }, STATES[stateOf(type)])),
        h("td", {}, type.acknowledged ? h("code", {}, type.acknowledged.slice(0, 12)) : h("span", { class: "faint" }, "nothing yet")),
        h("td", {}, bytes(type.bytesSent)),
        h("td", {}, h("time", { datetime: type.lastContact, title: type.lastContact }, `${time(Math.max(0, (now() - Date.parse(type.lastContact)) / 1000))} ago`))))))));
}

function bytes(n) {
  if (n < 1000) return `${n} B`;
  return n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`;
}
