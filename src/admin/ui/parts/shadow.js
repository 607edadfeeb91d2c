// What is known of a shadow: who gets copies, and, where answers are compared, how they agree.

import { h } from "../lib/dom.js";
import { count, percent } from "../lib/format.js";

export function shadow(of, report) {
  const told = h("p", {}, `${of.upstream} gets copies of ${percent(of.percent)} of the requests. Nobody gets its answers; its numbers stand above.`);
  if (!report) return told;
  const row = ([key, value]) => [h("dt", {}, words(key)), h("dd", {}, typeof value === "number" ? count(value) : String(value))];
  const plain = Object.entries(report).filter(([, value]) => ["number", "string", "boolean"].includes(typeof value));
  return [told, h("dl", { class: "facts" }, plain.map((entry) => h("div", {}, row(entry))))];
}

const words = (key) => key.replace(/([A-Z])/g, " $1").toLowerCase();
