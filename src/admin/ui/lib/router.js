// Which page stands for which path. A page is a function that gets the place to fill and the words of its path; it
// answers a title, and perhaps `end` for when it is left, and `leave`, which may keep people on it.

import { h, say } from "./dom.js";
import { poll } from "./live.js";

const routes = [];
let place;
let current = {};
let shown = "";

export function route(pattern, page) {
  routes.push([pattern, page]);
}

export function start(main) {
  place = main;
  document.addEventListener("click", (click) => {
    const target = click.target.closest("a[href]");
    const plain = click.button === 0 && !click.metaKey && !click.ctrlKey && !click.shiftKey && !click.defaultPrevented;
    if (!target || !plain || target.target || target.origin !== location.origin || !find(target.pathname)) return;
    if (target.hash && target.pathname === location.pathname) return;
    click.preventDefault();
    go(target.pathname + target.search);
  });
  window.addEventListener("popstate", () => {
    if (location.pathname + location.search === shown) return;
    if (current.leave && !current.leave()) {
      history.pushState(null, "", shown);
      return;
    }
    render(false);
  });
  window.addEventListener("beforeunload", (event) => {
    if (current.isChanged?.()) event.preventDefault();
  });
  render(true);
}

/** The page of a path, and the words of it; what is no text, such as `%zz`, is the path of nothing. */
function meant(path) {
  const [pattern, page] = find(path) ?? [/^/, missing];
  try {
    return [page, path.match(pattern).slice(1).map(decodeURIComponent)];
  } catch {
    return [missing, []];
  }
}

const find = (path) => routes.find(([pattern]) => pattern.test(path));

/** Goes to another page, unless this one has something that would be lost. */
export function go(path, { force = false } = {}) {
  if (!force && current.leave && !current.leave()) return;
  history.pushState(null, "", path);
  render(false);
}

/** What the query of this page says, and a way to change it without leaving. */
export const query = () => new URLSearchParams(location.search);

export function setQuery(values) {
  const now = query();
  for (const [key, value] of Object.entries(values)) {
    if (value) now.set(key, value);
    else now.delete(key);
  }
  const text = now.toString();
  history.replaceState(null, "", location.pathname + (text ? `?${text}` : ""));
  shown = location.pathname + location.search;
}

function render(isFirst) {
  current.end?.();
  shown = location.pathname + location.search;
  const [page, words] = meant(location.pathname);
  place.replaceChildren();
  current = page(place, ...words);
  title(current.title);
  document.dispatchEvent(new CustomEvent("page", { detail: location.pathname }));
  if (!isFirst) {
    window.scrollTo(0, 0);
    place.focus();
    say(current.title);
  }
}

export function title(text) {
  document.title = `${text} · Serin`;
}

function missing(main) {
  main.append(h("div", { class: "empty" }, h("h1", {}, "There is no such page"), h("p", {}, h("a", { href: "/" }, "All gateways"))));
  return { title: "No such page", end: poll() };
}
