// Makes elements. Text becomes text nodes, so data never becomes markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element of HTML. Attributes that are null, undefined or false are left out; `on` has listeners. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An element of SVG. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "value" || name === "checked" || name === "selected") {
      element[name] = value;
    } else {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Replaces what is in an element. Whoever had the focus keeps it, if something has the same `data-key` again. */
export function replace(element, ...children) {
  const key = element.contains(document.activeElement) && document.activeElement.dataset.key;
  element.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  if (key) element.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

/** A place that is made anew only when what it shows is different. */
export function slot(element, build) {
  let before;
  return {
    element,
    show(value, ...more) {
      const now = JSON.stringify([value, ...more]) ?? "";
      if (now === before) return;
      before = now;
      replace(element, build(value, ...more));
    },
  };
}

/** What may be wider than the page, and is then moved by the keyboard as well. */
export function wide(label, child) {
  return h("div", { class: "wide", role: "region", "aria-label": label, tabindex: 0 }, child);
}

let last = 0;

/** An id that nothing else has. */
export function unique(prefix = "id") {
  last += 1;
  return `${prefix}-${last}`;
}

/** Tells people who do not see the page. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

/** An icon of one path, 16 by 16. */
export function icon(path) {
  return s("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, s("path", { d: path }));
}
