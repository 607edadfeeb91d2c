// A gateway file, made of what a form says. Only what was filled in stands in it.

const WORDS = /^(true|false|null|yes|no|on|off|y|n|~)$/i;

/** A text as YAML: plain where that can mean nothing else, else in quotes as JSON has them. */
export function scalar(text) {
  const isPlain = /^[A-Za-z/][A-Za-z0-9_./-]*(:\/\/[A-Za-z0-9_./:-]+)?( [A-Za-z0-9_./-]+)*$/.test(text) && !WORDS.test(text);
  return isPlain ? text : JSON.stringify(text);
}

const flow = (value) => {
  if (Array.isArray(value)) return `[${value.map(flow).join(", ")}]`;
  if (typeof value === "object") return `{ ${Object.entries(value).map(([k, v]) => `${scalar(k)}: ${flow(v)}`).join(", ")} }`;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : scalar(value);
};

/** The document as text. Maps of maps have lines of their own. */
export function yaml(document) {
  return Object.entries(document).map(([key, value]) => entry(key, value, "")).join("");
}

function entry(key, value, indent) {
  const isDeep = value && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length > 0;
  const isBlock = isDeep && (indent === "" && ["upstreams", "rollout", "authentication"].includes(key));
  if (!isBlock) return `${indent}${scalar(key)}: ${isDeep || Array.isArray(value) ? flow(value) : value && typeof value === "object" ? "{}" : flow(value)}\n`;
  return `${indent}${key}:\n${Object.entries(value).map(([k, v]) => entry(k, v, `${indent}  `)).join("")}`;
}

/** Leaves out what is empty. */
export function filled(object) {
  return Object.fromEntries(Object.entries(object).filter(([, v]) => v !== "" && v !== undefined && v !== null && !(Array.isArray(v) && !v.length)));
}

export const words = (text) => text.split(/[\s,]+/).filter(Boolean);
