// All gateways: phase and split at a glance, searched and sorted.

import { h, replace, say, slot } from "../lib/dom.js";
import { onAlarms } from "../lib/alarms.js";
import { live } from "../lib/live.js";
import { page } from "../lib/api.js";
import { link, onLink } from "../lib/link.js";
import { access, count, endpoint, percent, phaseName } from "../lib/format.js";
import { pair } from "../lib/roles.js";
import { query, setQuery } from "../lib/router.js";
import { mayNotEdit, onSession } from "../lib/session.js";
import { URGENCY, pill } from "../parts/phase.js";
import { bar } from "../parts/split.js";
import { wayTo } from "../parts/button.js";

/** Rows that are made at once. */
const MORE = 100;

const RUNNING = ["Waiting", "Progressing", "Holding", "Paused", "Baking"];
const SHOW = {
  all: ["All", () => true],
  releasing: ["Releasing", (g) => RUNNING.includes(g.phase)],
  attention: ["Needs attention", (g) => ["Invalid", "RolledBack", "Paused", "Holding"].includes(g.phase) || g.authentication === "closed"],
  stable: ["Settled", (g) => ["Stable", "Promoted"].includes(g.phase)],
};
const byName = (a, b) => (a.name < b.name ? -1 : 1);
const urgency = (g) => URGENCY.indexOf(g.phase);
const share = (g) => pair(g).canary?.weight ?? -1;
const SORT = {
  name: ["Name", byName],
  phase: ["Phase, urgent first", (a, b) => urgency(a) - urgency(b) || byName(a, b)],
  share: ["Share of the canary", (a, b) => share(b) - share(a) || byName(a, b)],
  endpoint: ["Host and path", (a, b) => endpoint(a).localeCompare(endpoint(b)) || byName(a, b)],
};

export function gateways(main) {
  const known = new Map();
  const rows = new Map();
  let limit = MORE;
  let isLoaded = false;
  let isUnlisted = false;
  const wish = { q: query().get("q") ?? "", show: query().get("show") ?? "all", sort: query().get("sort") ?? "name" };
  if (!SHOW[wish.show]) wish.show = "all";
  if (!SORT[wish.sort]) wish.sort = "name";

  const total = h("span", { class: "faint" });
  const body = h("tbody", { role: "rowgroup" });
  const after = h("div", { class: "after" });
  const search = h("input", { type: "search", id: "search", value: wish.q, placeholder: "Name, host, path, version", autocomplete: "off", spellcheck: "false" });
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Show" });
  const sort = h("select", { id: "sort" }, Object.entries(SORT).map(([key, [name]]) => h("option", { value: key, selected: key === wish.sort }, name)));
  const table = h("table", { class: "gateways", role: "table", "aria-label": "Gateways" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ["Gateway", "Host and path", "Primary", "Canary", "Split", "Phase", "Access"]
      .map((name) => h("th", { role: "columnheader", scope: "col" }, name)))),
    body);

  const change = (values) => {
    Object.assign(wish, values);
    limit = MORE;
    setQuery({ q: wish.q, show: wish.show === "all" ? "" : wish.show, sort: wish.sort === "name" ? "" : wish.sort });
    render(true);
  };
  search.addEventListener("input", () => change({ q: search.value.trim() }));
  sort.addEventListener("change", () => change({ sort: sort.value }));

  const tools = h("div", { class: "tools", role: "search" },
    h("label", { for: "search", class: "unseen" }, "Search"), search, chips,
    h("label", { for: "sort", class: "sort" }, h("span", { class: "faint" }, "Sort by"), sort));
  const add = slot(h("div"), (why) => wayTo("/new", "New gateway", why));
  main.append(
    h("div", { class: "head" },
      h("h1", {}, "Gateways"), total,
      h("div", { class: "grow" }),
      add.element),
    tools, table, after);

  const matches = (gateway) => {
    const words = wish.q.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return true;
    const versions = gateway.upstreams.map((u) => `${u.name} ${u.version ?? ""}`).join(" ");
    const text = [gateway.name, gateway.description, gateway.hosts.join(" "), gateway.path, gateway.file, versions, phaseName(gateway.phase)].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  };

  const render = (isAsked = false) => {
    const all = [...known.values()];
    const found = all.filter((g) => matches(g));
    replace(chips, Object.entries(SHOW).map(([key, [name, test]]) => {
      const number = found.filter(test).length;
      return h("button", { type: "button", class: "chip", "data-key": key, "aria-pressed": String(wish.show === key), on: { click: () => change({ show: key }) } },
        name, isLoaded && h("span", { class: "number" }, count(number)));
    }));
    const shown = found.filter(SHOW[wish.show][1]).sort(SORT[wish.sort][1]);
    total.textContent = isLoaded ? count(all.length) : "";
    const wanted = shown.slice(0, limit).map((g) => rows.get(g.name));
    if (wanted.length !== body.children.length || wanted.some((row, i) => row !== body.children[i])) body.replaceChildren(...wanted);
    table.hidden = !shown.length;
    tools.hidden = (isLoaded || isUnlisted) && !all.length;
    replace(after, below(all.length, shown.length));
    if (isAsked) say(`${count(shown.length)} of ${count(all.length)} gateways`);
  };

  const below = (all, shown) => {
    if (!isLoaded) return h("p", { class: "empty" }, ["lost", "full"].includes(link().is) ? "Nothing was read yet."
      : isUnlisted ? "It is not known which gateways there are, as long as their directory cannot be listed." : "Reading the gateways…");
    if (!all) return nothing();
    if (!shown) {
      const clear = () => {
        search.value = "";
        change({ q: "", show: "all" });
        search.focus();
      };
      return h("div", { class: "empty" }, h("h2", {}, "No gateway fits"),
        h("p", {}, `None of ${count(all)} has what you look for.`),
        h("button", { type: "button", on: { click: clear } }, "Show all"));
    }
    if (shown <= limit) return null;
    const next = Math.min(MORE, shown - limit);
    return h("button", { type: "button", "data-key": "more", on: { click: () => { limit += MORE; render(); } } },
      `Show ${next} more of ${count(shown)}`);
  };

  const put = (gateway) => {
    known.set(gateway.name, gateway);
    const old = rows.get(gateway.name);
    const fresh = row(gateway);
    if (old?.isConnected) {
      const hadFocus = old.contains(document.activeElement);
      old.replaceWith(fresh);
      if (hadFocus) fresh.querySelector("a").focus();
    }
    rows.set(gateway.name, fresh);
  };
  const drop = (name) => {
    known.delete(name);
    rows.delete(name);
  };

  const unsession = onSession(() => add.show(mayNotEdit()));
  const unlink = onLink(() => isLoaded || render());
  const unalarm = onAlarms((alarms) => {
    isUnlisted = alarms.some(({ kind, directory }) => kind === "unlisted" && directory === "");
    if (!isLoaded) render();
  });
  render();
  const end = live("", {
    list: ({ gateways: list }) => {
      const names = new Set(list.map((g) => g.name));
      [...known.keys()].filter((name) => !names.has(name)).forEach(drop);
      // What is the same keeps its row, and who reads it keeps the focus.
      for (const g of list) if (JSON.stringify(known.get(g.name)) !== JSON.stringify(g)) put(g);
      isLoaded = true;
      render();
    },
    changes: ({ changed, gone }) => {
      changed.forEach(put);
      gone.forEach(drop);
      render();
    },
  });
  return {
    title: "Gateways",
    end: () => {
      unsession();
      unlink();
      unalarm();
      end();
    },
  };
}

function nothing() {
  return h("div", { class: "empty" },
    h("h2", {}, "No gateways yet"),
    h("p", {}, "A gateway is one YAML file in the directory that Serin watches. The smallest one:"),
    h("pre", {}, "apiVersion: serin/v1\nname: fraud\nupstreams:\n  v1: http://fraud-v1:8080\n"),
    h("p", {}, "As soon as the file is there, so is its row."));
}

function row(gateway) {
  const { primary, canary } = pair(gateway);
  const cell = (name, label, ...children) => h("td", { role: "cell", class: name, "data-label": label }, children);
  const version = (u) => (u ? [h("span", { class: "name", title: u.name }, u.name), u.version && h("span", { class: "faint", title: u.version }, u.version)] : h("span", { class: "faint" }, "–"));
  const steps = gateway.rollout?.steps ?? [];
  const passed = steps.filter((weight) => weight <= gateway.rollout.weight).length;
  const isReleasing = RUNNING.includes(gateway.phase);
  return h("tr", { role: "row" },
    cell("who", "", h("a", { href: page(gateway.name), title: gateway.name }, gateway.name),
      (gateway.problem || gateway.description) && h("span", { class: gateway.problem ? "problem" : "faint", title: gateway.problem ?? gateway.description }, gateway.problem ?? gateway.description)),
    cell("where", "Host and path", gateway.serving ? h("span", { title: endpoint(gateway) }, endpoint(gateway)) : h("span", { class: "faint" }, "not served")),
    cell("primary", "Primary", version(primary)),
    cell(canary ? "canary" : "canary none", "Canary", version(canary)),
    cell("share", "Split", gateway.upstreams.length > 0 && h("div", {}, bar(gateway), h("span", { class: "figure" }, canary ? percent(canary.weight) : ""))),
    cell("phase", "Phase", pill(gateway.phase), isReleasing && h("span", { class: "faint" }, passed ? `step ${passed} of ${steps.length}` : "before step 1")),
    cell("access", "Access", gateway.authentication ? access(gateway.authentication) : "–"));
}
