// What is around every page: the name, the ways to other pages, whether Serin answers, light or dark, who is here.

import { h, icon, replace } from "../lib/dom.js";
import { onAlarms } from "../lib/alarms.js";
import { onLink } from "../lib/link.js";
import { moment, sentence } from "../lib/format.js";
import { onSession } from "../lib/session.js";
import { ask } from "../lib/api.js";
import { THEMES, setTheme, theme } from "../lib/theme.js";

const PAGES = [["/", "Gateways"], ["/proxies", "Proxies"], ["/settings", "Settings"]];
const MOON = "M6 1.5A6.5 6.5 0 1 0 14.500 10 5.500 5.500 0 0 1 6 1.500z";
const SUN = "M8 4.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7zM7.300 0h1.400v2.500H7.300zM7.300 13.500h1.400V16H7.300zM0 7.300h2.500v1.400H0zM13.500 7.300H16v1.400h-2.500zM2 3l1-1 1.800 1.800-1 1zM11.200 12.200l1-1L14 13l-1 1zM2 13l1.800-1.800 1 1L3 14zM11.200 3.800 13 2l1 1-1.800 1.800z";
const HALF = "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm0 1.500v11a5.500 5.500 0 0 1 0-11z";
const ICONS = { system: HALF, light: SUN, dark: MOON };

export function frame() {
  const links = PAGES.map(([path, name]) => h("a", { href: path }, name));
  document.addEventListener("page", ({ detail }) => {
    for (const link of links) {
      const path = link.getAttribute("href");
      const isHere = detail === path || (path === "/" && (detail.startsWith("/gateways/") || detail === "/new"));
      if (isHere) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  });
  return [
    h("a", { class: "brand", href: "/" }, h("img", { src: "/ui/icon.svg", alt: "", width: 28, height: 28 }), "Serin"),
    h("nav", { "aria-label": "Pages" }, links),
    state(),
    themes(),
    person(),
  ];
}

/** A dot with a word; a banner as long as Serin does not answer, and one for alarms. */
function state() {
  const shown = h("span", { class: "link", id: "link" });
  onLink(({ is, since }) => {
    const words = { connecting: "Connecting", live: "Live", lost: "No answer", full: "Not live" };
    shown.dataset.is = is;
    replace(shown, h("span", { class: "dot", "aria-hidden": "true" }), h("span", {}, words[is]));
    document.body.dataset.link = is;
    const says = {
      lost: `Serin does not answer since ${moment(since)}. What is shown is as it was then. This page tries again by itself.`,
      full: `Serin answers, but as many pages and programs follow it as can, yours or those of all. What is shown is as it was at ${moment(since)}. Close pages that you do not need; this one tries again by itself.`,
    };
    document.getElementById("banner").textContent = says[is] ?? "";
  });
  const alarms = document.getElementById("alarms");
  onAlarms((all) => replace(alarms, all.map(({ message }) => h("p", {}, sentence(message)))));
  return shown;
}

function themes() {
  const button = h("button", { type: "button", class: "plain round", id: "theme" });
  const show = () => {
    const now = theme();
    const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    replace(button, icon(ICONS[now]));
    const words = { system: "as the system has it", light: "light", dark: "dark" };
    button.title = `Colours: ${words[now]}`;
    button.setAttribute("aria-label", `Colours: ${words[now]}. Change to ${words[next]}`);
    button.onclick = () => {
      setTheme(next);
      show();
    };
  };
  show();
  return button;
}

function person() {
  const place = h("span", { class: "person" });
  const leave = async () => {
    await ask("DELETE", "session").catch(() => {});
    location.assign("/login");
  };
  onSession(({ name, role, loginNeeded }) => {
    if (name) {
      const out = h("button", { type: "button", class: "small", on: { click: leave } }, "Log out");
      replace(place, h("span", { title: `Role: ${role}` }, name), out);
    } else {
      replace(place, loginNeeded && h("a", { href: "/login" }, "Log in"));
    }
  });
  return place;
}
