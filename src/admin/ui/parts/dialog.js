// A question before something happens: what it will do, and room for a reason.

import { h, replace, unique } from "../lib/dom.js";
import { sentence } from "../lib/format.js";

/**
 * Asks. `act` is called with what the form says when people agree, and may refuse by throwing; its sentence is shown, and
 * the question stays open.
 */
export function confirm({ title, says, body = [], agree, danger = false, reason = false, act }) {
  const [heading, text] = [unique("title"), unique("says")];
  const problem = h("p", { class: "refusal", role: "alert" });
  const yes = h("button", { type: "submit", class: danger ? "danger" : "primary" }, agree);
  const no = h("button", { type: "button", on: { click: () => dialog.close() } }, "Cancel");
  const why = unique("reason");
  const room = reason && [
    h("label", { for: why }, "Reason ", h("span", { class: "faint" }, "(kept in the journal)")),
    h("input", { id: why, name: "reason", type: "text", maxlength: 500, autocomplete: "off" }),
  ];
  const submit = async (event) => {
    event.preventDefault();
    const said = Object.fromEntries(new FormData(form));
    yes.disabled = true;
    replace(problem);
    try {
      await act(said);
      dialog.close();
    } catch (refusal) {
      problem.textContent = sentence(refusal.message);
      yes.disabled = false;
    }
  };
  const form = h("form", { method: "dialog", on: { submit } },
    h("h2", { id: heading }, title),
    h("div", { id: text, class: "says" }, [].concat(says).map((line) => h("p", {}, line))),
    body, room, problem,
    h("div", { class: "row end" }, no, yes));
  const dialog = h("dialog", { "aria-labelledby": heading, "aria-describedby": text }, form);
  const before = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    const key = before?.dataset?.key;
    const back = before?.isConnected ? before : key && document.querySelector(`[data-key="${CSS.escape(key)}"]`);
    back?.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
