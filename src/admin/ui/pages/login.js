// Logging in with a token. It is sent once, and not kept in the browser; a cookie that scripts cannot read stands for it.

import { h } from "../lib/dom.js";
import { ask } from "../lib/api.js";
import { learn } from "../lib/session.js";
import { report } from "../lib/link.js";
import { go, query } from "../lib/router.js";

export function login(main) {
  const problem = h("p", { class: "refusal", role: "alert", id: "why-not" });
  const token = h("input", { id: "token", name: "token", type: "password", required: true, autocomplete: "current-password", "aria-describedby": "why-not" });
  const button = h("button", { type: "submit", class: "primary" }, "Log in");
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    problem.textContent = "";
    try {
      await ask("POST", "session", { body: { token: token.value.trim() } });
      await learn();
      // Only a place on this site.
      const back = query().get("back") ?? "/";
      go(/^\/(?!\/)/.test(back) ? back : "/");
    } catch (refusal) {
      problem.textContent = refusal.status === 401 ? "No such token. Look for spaces at its ends, or ask whoever keeps the tokens file."
        : refusal.status === 429 ? "Too many wrong tokens. Wait a little, then try again." : refusal.message;
      token.setAttribute("aria-invalid", "true");
      token.select();
    }
    button.disabled = false;
  };
  main.append(h("form", { class: "card login", on: { submit } },
    h("h1", {}, "Log in"),
    h("p", {}, "This Serin wants to know who you are. A token comes from whoever runs it: ", h("code", {}, "serin tokens new"), "."),
    h("label", { for: "token" }, "Token"), token, problem, button));
  token.focus();
  ask("GET", "session").then(() => report("live"), (gone) => report(gone.status ? "live" : "lost"));
  return { title: "Log in" };
}
