// Fields of forms: a label, a hint, and what is wrong, all of which a screen reader hears with the field.

import { h, unique } from "../lib/dom.js";

/** A line of text. `check` answers what is wrong with a value, or null. */
export function text({ label, name, value = "", hint, required = false, type = "text", check, placeholder, list }) {
  const [id, about, wrong] = [unique("field"), unique("hint"), unique("wrong")];
  const problem = h("p", { class: "wrong", id: wrong });
  const input = h("input", { id, name, type, value, required, placeholder, list, autocomplete: "off", spellcheck: "false", "aria-describedby": `${about} ${wrong}` });
  const judge = () => {
    const said = input.value.trim() === "" ? (required ? "This is needed." : null) : check?.(input.value.trim()) ?? null;
    problem.textContent = said ?? "";
    if (said) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    return said;
  };
  input.addEventListener("blur", () => (input.value || input.getAttribute("aria-invalid")) && judge());
  const element = h("div", { class: "field" },
    h("label", { for: id }, label, !required && h("span", { class: "faint" }, " (optional)")),
    input, hint && h("p", { class: "faint", id: about }, hint), problem);
  return { element, input, judge, value: () => input.value.trim() };
}

/** One of several, with radio buttons. */
export function choice({ legend, name, value, options, changed }) {
  return h("fieldset", {}, h("legend", {}, legend), options.map(([key, label, hint]) => h("label", { class: "check" },
    h("input", { type: "radio", name, value: key, checked: key === value, on: { change: () => changed(key) } }),
    h("span", {}, label, hint && h("span", { class: "faint" }, ` ${hint}`)))));
}

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

export const isName = (text) => (LABEL.test(text) ? null : "Lower-case letters, digits and hyphens, at most 63, with a letter or digit at both ends.");
export const isUrl = (text) => (/^https?:\/\/[^\s/]+(:\d+)?$/.test(text) ? null : "A URL without a path, such as http://fraud-v1:8080.");
export const isPath = (text) => (text.startsWith("/") ? null : "A path begins with /.");
