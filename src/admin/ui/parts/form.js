// The forms of a gateway: what it is, who is let in, its primary, and a canary that begins at 5 %.

import { h, replace } from "../lib/dom.js";
import { pair } from "../lib/roles.js";
import { authentication } from "./authentication.js";
import { choice, isName, isPath, isUrl, text } from "./field.js";
import { filled, words } from "./document.js";
import { slider } from "./slider.js";

/** What a canary begins with, in percent. */
const FIRST = 5;
const STEPS = [5, 25, 50, 100];

const card = (title, id, ...children) => h("section", { class: "card fields", "aria-labelledby": id }, h("h2", { id }, title), children);

/** The form of a new gateway. */
export function createForm(changed) {
  const name = text({ label: "Name", name: "name", required: true, check: isName, placeholder: "fraud", hint: "Lower-case letters, digits and hyphens." });
  const description = text({ label: "Description", name: "description", placeholder: "Card fraud scoring" });
  const hosts = text({ label: "Host", name: "host", placeholder: "fraud.example.com", hint: "Several with commas between. Empty: any host." });
  const path = text({ label: "Path", name: "path", check: isPath, placeholder: "/", hint: "Whole segments: /predict takes /predict/all as well." });
  const primaryName = text({ label: "Name", name: "primaryName", value: "v1", required: true, check: isName });
  const primaryUrl = text({ label: "URL", name: "primaryUrl", required: true, check: isUrl, placeholder: "http://fraud-v1:8080" });
  const who = authentication(null, () => changed());
  const canary = canaryFields(primaryName.value, changed);
  const fields = [name, description, hosts, path, primaryName, primaryUrl];
  const element = h("form", { class: "stack", on: { input: () => changed(), submit: (event) => event.preventDefault() } },
    card("What it is", "what", name.element, description.element, h("div", { class: "pair" }, hosts.element, path.element)),
    card("Access", "access", who.element),
    card("Primary", "primary", h("p", { class: "faint" }, "The version that answers now."), h("div", { class: "pair" }, primaryName.element, primaryUrl.element)),
    card("Canary", "canary", canary.element));
  return {
    element,
    judge: () => [...fields.map((f) => f.judge()), who.judge(), canary.judge()].find(Boolean) ?? null,
    first: () => element.querySelector("[aria-invalid]"),
    document: () => {
      const list = words(hosts.value());
      const auth = who.value();
      return filled({
        apiVersion: "serin/v1",
        name: name.value(),
        description: description.value(),
        host: list.length === 1 ? list[0] : "",
        hosts: list.length > 1 ? list : [],
        path: path.value(),
        authentication: auth.none ? "" : auth,
        upstreams: { [primaryName.value() || "v1"]: primaryUrl.value(), ...canary.upstream() },
        ...canary.traffic(),
      });
    },
  };
}

/** A canary, if one is wanted: held by hand, or released by evidence. */
function canaryFields(primary, changed) {
  let isWanted = false;
  let how = "hand";
  let share = FIRST;
  const name = text({ label: "Name", name: "canaryName", value: "v2", required: true, check: (said) => isName(said) ?? (said === primary() ? "The primary has this name." : null) });
  const url = text({ label: "URL", name: "canaryUrl", required: true, check: isUrl, placeholder: "http://fraud-v2:8080" });
  const room = h("div", { class: "fields" });
  const show = () => replace(room, isWanted && [
    h("div", { class: "pair" }, name.element, url.element),
    choice({ legend: "How it gets traffic", name: "how", value: how, changed: (key) => { how = key; show(); changed(); }, options: [
      ["hand", "By hand.", "You move the slider; nothing happens by itself."],
      ["evidence", "Step by step, by evidence.", `${STEPS.join(", ")} %, and back to 0 when it does harm.`],
    ] }),
    how === "hand" && slider({ name: "share", value: share, primary: primary() || "v1", canary: name.value() || "v2", changed: (now) => { share = now; } }),
  ]);
  const create = h("button", { type: "button", on: { click: () => { isWanted = !isWanted; create.textContent = isWanted ? "Remove the canary" : "Create a canary"; show(); changed(); if (isWanted) url.input.focus(); } } }, "Create a canary");
  return {
    element: h("div", { class: "fields" }, h("p", { class: "faint" }, `A second version that gets a few requests first, ${FIRST} % at the beginning.`), h("div", {}, create), room),
    judge: () => (isWanted ? name.judge() ?? url.judge() : null),
    upstream: () => (isWanted ? { [name.value() || "v2"]: url.value() } : {}),
    traffic: () => {
      if (!isWanted) return {};
      const [one, two] = [primary() || "v1", name.value() || "v2"];
      if (how === "evidence") return { rollout: { primary: one, canary: two, steps: STEPS } };
      return { traffic: { [one]: Math.round((100 - share) * 100) / 100, [two]: share } };
    },
  };
}

/** The form of a gateway that is there. It changes what was changed in it, and leaves the rest of the file alone. */
export function changeForm(view, changed) {
  const { primary, canary } = pair(view);
  const hosts = view.hosts.join(", ");
  const description = text({ label: "Description", name: "description", value: view.description });
  const host = text({ label: "Host", name: "host", value: hosts, hint: "Several with commas between. * is any host." });
  const path = text({ label: "Path", name: "path", value: view.path, check: isPath, required: true });
  const who = authentication(view.authentication, changed);
  const added = primary && !canary && view.upstreams.length === 1 && !view.rollout ? canaryFields(() => primary.name, changed) : null;
  const byHand = primary && canary && !view.rollout && view.upstreams.length === 2;
  let share = canary?.weight;
  let isRemoved = false;
  const fields = [description, host, path];
  const split = byHand && h("div", { class: "fields" },
    slider({ name: "share", value: share, primary: primary.name, canary: canary.name, changed: (now) => { share = now; } }),
    h("label", { class: "check" }, h("input", { type: "checkbox", name: "remove", on: { change: (event) => { isRemoved = event.target.checked; } } }),
      h("span", {}, `Remove ${canary.name} from the file; ${primary.name} gets all requests.`)));
  const element = h("form", { class: "stack", on: { input: changed, submit: (event) => event.preventDefault() } },
    card("What it is", "what", description.element, h("div", { class: "pair" }, host.element, path.element)),
    card("Access", "access", who.element),
    (added || split) && card("Canary", "canary", added ? added.element : split),
    h("p", { class: "faint" }, "Everything else is in the file itself: choose YAML above."));
  return {
    element,
    judge: () => [...fields.map((f) => f.judge()), who.judge(), added?.judge()].find(Boolean) ?? null,
    first: () => element.querySelector("[aria-invalid]"),
    /** As RFC 7396 has it: only what is different, null for what goes. */
    patch: () => {
      const patch = {};
      if (description.value() !== view.description) patch.description = description.value() || null;
      if (host.value() !== hosts) {
        const list = words(host.value());
        Object.assign(patch, { host: list.length === 1 ? list[0] : null, hosts: list.length > 1 ? list : null });
      }
      if (path.value() !== view.path) patch.path = path.value();
      const auth = who.value();
      if (auth) patch.authentication = auth.none ? null : auth;
      if (added && Object.keys(added.upstream()).length) Object.assign(patch, { upstreams: added.upstream() }, added.traffic());
      if (isRemoved) Object.assign(patch, { upstreams: { [canary.name]: null }, traffic: null });
      else if (byHand && share !== canary.weight) patch.traffic = { [primary.name]: Math.round((100 - share) * 100) / 100, [canary.name]: share };
      return patch;
    },
  };
}
