// A new gateway, and changes of one: as a form, which says what most people want, or as the file itself.

import { h, replace, say } from "../lib/dom.js";
import { ask, at, get, page } from "../lib/api.js";
import { sentence } from "../lib/format.js";
import { poll } from "../lib/live.js";
import { go, query, setQuery } from "../lib/router.js";
import { mayNotEdit, needsLogin, onSession } from "../lib/session.js";
import { button } from "../parts/button.js";
import { checker } from "../parts/check.js";
import { code } from "../parts/code.js";
import { confirm } from "../parts/dialog.js";
import { yaml } from "../parts/document.js";
import { editor } from "../parts/editor.js";
import { changeForm, createForm } from "../parts/form.js";

const CHANGED = "The file was changed meanwhile, by somebody else or by hand. Nothing was written. Copy what you want to keep, then load it again.";

/** `/new` */
export function create(main) {
  let isText = false;
  let isChanged = false;
  const preview = h("div", {});
  const check = checker((diagnostics) => {
    if (isText) text.mark(diagnostics);
    else replace(preview, code(yaml(form.document()), diagnostics));
  }, (d) => text.go(d), () => isText);
  const changed = () => {
    isChanged = true;
    if (!isText) replace(preview, code(yaml(form.document())));
    judge();
  };
  // What is not written yet is no mistake.
  const judge = () => {
    const lacks = isText ? [] : form.lacks();
    if (lacks.length) check.wait(`Still needed: ${[...new Set(lacks)].join(", ")}.`);
    else check.ask(isText ? text.value() : yaml(form.document()));
  };
  const form = createForm(changed);
  const text = editor("The gateway file", "", changed);
  const refusal = h("p", { class: "refusal", role: "alert" });
  const save = async () => {
    refusal.textContent = "";
    const wrong = isText ? null : form.judge();
    if (wrong) return form.first()?.focus();
    const name = isText ? text.value().match(/^name:\s*["']?([a-z0-9-]+)/m)?.[1] : form.document().name;
    if (!name) {
      refusal.textContent = "The file has no name: write `name: fraud`, for instance.";
      return undefined;
    }
    try {
      await ask("PUT", at(name), { body: isText ? text.value() : yaml(form.document()), type: "application/yaml", headers: { "if-none-match": "*" } });
      isChanged = false;
      say(`${name} is there`);
      return go(page(name));
    } catch (problem) {
      refusal.textContent = problem.status === 412 ? `There is a gateway ${name} already. Choose another name, or edit that one.` : sentence(problem.message);
      if (problem.body.diagnostics) check.show(problem.body.diagnostics);
      return undefined;
    }
  };
  const room = h("div", {});
  const fields = h("fieldset", {}, form.element);
  const notice = h("div", {});
  const actions = h("div", { class: "row end actions" });
  const show = () => replace(room,
    h("div", { class: isText ? "" : "beside" },
      isText ? h("section", { class: "card", "aria-label": "File" }, text.element, check.element)
        : [fields, h("section", { class: "card preview", "aria-labelledby": "preview" }, h("h2", { id: "preview" }, "The file"), preview, check.element)]));
  const toggle = tabs(isText, (asText) => {
    if (asText) text.set(yaml(form.document()));
    isText = asText;
    show();
    changed();
  });
  replace(main,
    h("nav", { class: "crumbs", "aria-label": "Where you are" }, h("a", { href: "/" }, "Gateways"), h("span", { "aria-hidden": "true" }, "/"), "New"),
    h("div", { class: "head" }, h("h1", {}, "New gateway"), h("div", { class: "grow" }), toggle),
    notice, room, refusal, actions);
  const permit = permission((why) => {
    replace(notice, why && h("p", { class: "notice" }, `No gateway can be made from here: ${why}.`));
    close(fields, text, why !== null && !isChanged);
    replace(actions, h("a", { class: "button", href: "/", "data-key": "cancel" }, "Cancel"), button("Create gateway", save, { why, kind: "primary", key: "save" }));
  });
  show();
  replace(preview, code(yaml(form.document())));
  judge();
  const unsession = onSession(() => permit(mayNotEdit()));
  const unpoll = poll();
  const end = () => {
    unsession();
    unpoll();
    check.end();
  };
  return { title: "New gateway", end, isChanged: () => isChanged, leave: () => !isChanged || window.confirm("Leave, and lose what you wrote?") };
}

/** `/gateways/{name}/edit` */
export function edit(main, name) {
  let isText = query().get("as") === "yaml";
  let isChanged = false;
  let file = null;
  let tag = null;
  let form = null;
  const refusal = h("p", { class: "refusal", role: "alert" });
  const text = editor("The gateway file", "", () => {
    isChanged = true;
    check.ask(text.value());
  });
  const check = checker((diagnostics) => isText && text.mark(diagnostics), (d) => text.go(d), () => isText);
  const room = h("div", {}, h("p", { class: "empty" }, "Reading the file…"));
  const fields = h("fieldset", {});
  const notice = h("div", {});
  const actions = h("div", { class: "row end actions" });
  const place = h("div", { class: "head" }, h("h1", { class: "name" }, `Edit ${name}`), h("div", { class: "grow" }));
  replace(main,
    h("nav", { class: "crumbs", "aria-label": "Where you are" }, h("a", { href: "/" }, "Gateways"), h("span", { "aria-hidden": "true" }, "/"), h("a", { class: "name", href: page(name) }, name), h("span", { "aria-hidden": "true" }, "/"), "Edit"),
    place, notice, room, refusal, actions);

  const attempt = async (work) => {
    refusal.textContent = "";
    if (!isText) check.element.remove();
    try {
      await work();
      isChanged = false;
      go(page(name));
    } catch (problem) {
      if (problem.status === 412) replace(refusal, `${CHANGED} `, button("Load it again", again, { kind: "small" }));
      else refusal.textContent = sentence(problem.message);
      if (!problem.body?.diagnostics) return;
      // The form has no room for them until there are some; what is told must be in the page to be heard.
      if (!isText) room.append(check.element);
      check.show(problem.body.diagnostics);
    }
  };
  const again = () => go(location.pathname + location.search);
  const saveText = () => attempt(() => ask("PUT", at(name), { body: text.value(), type: "application/yaml", headers: { "if-match": tag } }));
  const saveForm = () => {
    if (form.judge()) {
      form.first()?.focus();
      return;
    }
    const patch = form.patch();
    if (!Object.keys(patch).length) {
      refusal.textContent = "Nothing is different yet.";
      return;
    }
    attempt(() => ask("PATCH", at(name), { body: patch, type: "application/merge-patch+json", headers: { "if-match": tag } }));
  };
  const remove = () => confirm({
    title: `Delete ${name}?`, agree: "Delete the file", danger: true,
    says: [`The file ${file.file} is deleted. After a short grace period Envoys no longer serve the gateway: its requests are answered 404, or by a gateway with a wider host or path.`],
    act: async () => {
      await ask("DELETE", at(name), { headers: { "if-match": tag } });
      isChanged = false;
      go("/", { force: true });
    },
  });
  const permit = permission((why) => {
    replace(notice, why && h("p", { class: "notice" }, `This gateway cannot be changed from here: ${why}.`));
    close(fields, text, why !== null && !isChanged);
    replace(actions, button("Delete", remove, { why, kind: "danger quiet", key: "delete" }), h("div", { class: "grow" }),
      h("a", { class: "button", href: page(name), "data-key": "cancel" }, "Cancel"),
      button("Save", () => (isText ? saveText() : saveForm()), { why, kind: "primary", key: "save" }));
  });
  const judge = () => file && permit(file.writable === false ? file.reason : mayNotEdit());
  const show = () => {
    replace(room, isText ? h("section", { class: "card", "aria-label": "File" }, h("p", { class: "faint" }, file.file), text.element, check.element) : fields);
    if (isText) check.ask(text.value());
  };
  const choose = (asText) => {
    isText = asText;
    setQuery({ as: asText ? "yaml" : "" });
    show();
  };
  const load = async () => {
    try {
      const [answer, view] = await Promise.all([ask("GET", at(name, "/file")), get(at(name))]);
      [file, tag] = [answer.body, answer.tag];
      text.set(file.yaml);
      form = view.serving ? changeForm(view, () => { isChanged = true; }) : null;
      if (!form) isText = true;
      if (form) {
        fields.append(form.element);
        place.append(tabs(isText, choose));
      }
      show();
      judge();
    } catch (problem) {
      if (problem.status === 401) await needsLogin();
      replace(room, h("div", { class: "empty" }, h("h2", {}, "The file cannot be read"), h("p", {}, sentence(problem.message)), h("p", {}, h("a", { href: "/" }, "All gateways"))));
    }
  };
  // A file that could not be changed perhaps can; its text and its tag stay those that are edited here.
  const unpoll = poll(async () => {
    if (file?.writable !== false) return;
    const { writable, reason } = (await ask("GET", at(name, "/file"))).body;
    Object.assign(file, { writable, reason });
    judge();
  });
  const unsession = onSession(judge);
  load();
  const end = () => {
    unsession();
    unpoll();
    check.end();
  };
  return { title: `Edit ${name}`, end, isChanged: () => isChanged, leave: () => !isChanged || window.confirm("Leave, and lose what you wrote?") };
}

/** Whoever is told why nothing can be written, or null, shows it when it is another reason than before. */
function permission(show) {
  let before;
  return (why) => {
    if (why === before) return;
    before = why;
    show(why);
  };
}

/** Nothing can be typed; who has typed already goes on, and saves when that is possible again. */
function close(fields, text, isClosed) {
  fields.disabled = isClosed;
  text.close(isClosed);
}

/** Form or file. */
function tabs(isText, choose) {
  const make = (asText, words) => h("button", { type: "button", class: "chip", "aria-pressed": String(asText === isText), on: { click: (event) => {
    [...event.currentTarget.parentElement.children].forEach((b) => b.setAttribute("aria-pressed", String(b === event.currentTarget)));
    choose(asText);
  } } }, words);
  return h("div", { class: "chips", role: "group", "aria-label": "Edit as" }, make(false, "Form"), make(true, "YAML"));
}

