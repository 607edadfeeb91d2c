// A small chart of lines over time, drawn to its own width. Marks are vertical lines with a word. The pointer, or the
// arrow keys, choose a moment, whose values are read out below the title.

import { h, replace, s, unique } from "../lib/dom.js";
import { moment, round } from "../lib/format.js";

const HEIGHT = 180;
const EDGE = { left: 52, right: 10, top: 16, bottom: 22 };

/** `format` makes words of values. The answer has `element`, `draw` and `end`. */
export function chart(title, format) {
  const name = unique("chart");
  const readout = h("p", { class: "readout", id: name });
  const picture = s("svg", { class: "chart", height: HEIGHT, role: "img", tabindex: 0, "aria-describedby": name, "aria-label": title });
  const element = h("figure", { class: "figure-of-time" }, h("figcaption", {}, title), readout, picture);
  let shown = null;
  let chosen = null;
  let width = 0;

  const watch = new ResizeObserver(([entry]) => {
    const now = Math.round(entry.contentRect.width);
    if (now === width) return;
    width = now;
    paint();
  });
  watch.observe(element);

  const paint = () => {
    if (!shown || width < 50) return;
    const { from, to, series, marks } = shown;
    const inner = { width: width - EDGE.left - EDGE.right, height: HEIGHT - EDGE.top - EDGE.bottom };
    const values = series.flatMap((line) => line.points.map(([, v]) => v)).filter((v) => v !== null);
    const top = nice(Math.max(...values, shown.least));
    const x = (t) => EDGE.left + (inner.width * (t - from)) / (to - from);
    const y = (v) => EDGE.top + inner.height * (1 - v / top);
    picture.setAttribute("width", width);
    picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const grid = [0, 0.5, 1].map((part) => [
      s("line", { class: part ? "grid" : "axis", x1: EDGE.left, x2: width - EDGE.right, y1: y(top * part), y2: y(top * part) }),
      s("text", { class: "tick", x: EDGE.left - 8, y: y(top * part) + 4, "text-anchor": "end" }, round(format(top * part))),
    ]);
    const minutes = ticks(from, to, inner.width).map((t) =>
      s("text", { class: "tick", x: Math.min(x(t), width - 16), y: HEIGHT - 6, "text-anchor": "middle" }, new Date(t).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })));
    let free = -Infinity;
    const lines = marks.filter((m) => m.at >= from && m.at <= to).map((mark) => {
      const at = x(mark.at);
      // A word that would cover the one before is left out; the line stays.
      const wide = mark.label.length * 6.5 + 8;
      const fits = at - wide / 2 > free && at + wide / 2 < width;
      if (fits) free = at + wide / 2;
      return s("g", { class: `mark ${mark.kind}` }, s("title", {}, mark.says),
        s("line", { x1: at, x2: at, y1: EDGE.top, y2: EDGE.top + inner.height }),
        fits && s("text", { x: at, y: EDGE.top - 5, "text-anchor": "middle" }, mark.label));
    });
    const paths = series.map((line) => s("path", { class: `line v${line.index} ${line.dash ?? ""}`, d: path(line.points, x, y) }));
    const dots = series.map((line) => {
      const last = line.points.findLast(([, v]) => v !== null);
      return last && s("circle", { class: `dot v${line.index}`, cx: x(last[0]), cy: y(last[1]), r: 2.5 });
    }).filter(Boolean);
    const cursor = chosen === null ? null : s("line", { class: "cursor", x1: x(chosen), x2: x(chosen), y1: EDGE.top, y2: EDGE.top + inner.height });
    replace(picture, grid, minutes, lines, paths, dots, cursor);
    tell();
  };

  const tell = () => {
    const at = chosen;
    const value = (line) => {
      const near = at === null ? line.points.findLast(([, v]) => v !== null) : line.points.find(([t]) => t === at);
      return near && near[1] !== null ? format(near[1]) : "–";
    };
    replace(readout, shown.series.map((line) => h("span", {}, h("span", { class: `key v${line.index} ${line.dash ?? ""}`, "aria-hidden": "true" }), `${line.name} `, h("strong", {}, value(line)))),
      h("span", { class: "faint" }, at === null ? "now" : moment(at)));
  };

  const times = () => [...new Set(shown.series.flatMap((line) => line.points.map(([t]) => t)))].sort((a, b) => a - b);
  const choose = (at) => {
    chosen = at;
    paint();
  };
  picture.addEventListener("pointermove", (event) => {
    if (!shown) return;
    const box = picture.getBoundingClientRect();
    const part = (event.clientX - box.left - EDGE.left) / (box.width - EDGE.left - EDGE.right);
    const wanted = shown.from + part * (shown.to - shown.from);
    const nearest = times().reduce((best, t) => (best === null || Math.abs(t - wanted) < Math.abs(best - wanted) ? t : best), null);
    choose(nearest);
  });
  picture.addEventListener("pointerleave", () => shown && choose(null));
  picture.addEventListener("blur", () => shown && choose(null));
  picture.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!shown || !by) return;
    event.preventDefault();
    const all = times();
    const here = chosen === null ? all.length - 1 : all.indexOf(chosen);
    choose(all[Math.min(Math.max(here + by, 0), all.length - 1)] ?? null);
  });

  return {
    element,
    /** `series`: name, index of the colour, points as [moment, value or null]; `least`: the least upper end of the axis. */
    draw(state) {
      shown = state;
      paint();
    },
    end: () => watch.disconnect(),
  };
}

function path(points, x, y) {
  let isOpen = false;
  let text = "";
  for (const [t, v] of points) {
    if (v === null) {
      isOpen = false;
      continue;
    }
    text += `${isOpen ? "L" : "M"}${x(t).toFixed(1)} ${y(v).toFixed(1)}`;
    isOpen = true;
  }
  return text;
}

/** The smallest round number that is not smaller. */
function nice(value) {
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((n) => n * size).find((n) => n >= value * 1.02) ?? 10 * size;
}

/** Whole minutes, so many as there is room for. */
function ticks(from, to, width) {
  const most = Math.max(2, Math.floor(width / 90));
  const step = [1, 2, 3, 5, 10, 15].map((m) => m * 60_000).find((ms) => (to - from) / ms <= most) ?? 15 * 60_000;
  const first = Math.ceil(from / step) * step;
  return Array.from({ length: Math.floor((to - first) / step) + 1 }, (_, i) => first + i * step);
}
