// Numbers and moments as people read them. A space before a unit does not break.

const NBSP = "\u00a0";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (n) => whole.format(n);

/** A share in percent, with its decimals: "12.5 %". */
export const percent = (n) => `${n}${NBSP}%`;

/** A share from 0 to 1, with more decimals the smaller it is. */
export function share(n) {
  if (n === null || n === undefined) return "–";
  const p = n * 100;
  const decimals = p === 0 || p >= 99.95 ? 0 : p < 0.1 ? 3 : p < 1 ? 2 : 1;
  return `${p.toFixed(decimals)}${NBSP}%`;
}

/** A share from 0 to 1 whose last places matter: "97.40 %". */
export const exact = (n) => `${(n * 100).toFixed(n === 0 || n === 1 ? 0 : 2)}${NBSP}%`;

/** What was said, with a stop at its end. */
export const ended = (text) => (/[.?!]$/.test(text) ? text : `${text}.`);

/** The same with a capital at its begin. */
export const sentence = (text) => ended(text[0].toUpperCase() + text.slice(1));

/** Requests a second. */
export function rate(n) {
  if (n === null || n === undefined) return "–";
  const decimals = n >= 100 || n === 0 ? 0 : n < 10 ? 2 : 1;
  return `${n >= 1000 ? count(n) : n.toFixed(decimals)}/s`;
}

/** A latency in seconds. */
export function latency(n) {
  if (n === null || n === undefined) return "–";
  if (n >= 10) return `${n.toFixed(0)}${NBSP}s`;
  if (n >= 1) return `${n.toFixed(2)}${NBSP}s`;
  const ms = n * 1000;
  return `${ms < 10 && ms > 0 ? ms.toFixed(1) : ms.toFixed(0)}${NBSP}ms`;
}

/** A number that is round, without the places that say nothing: "5.0 %" as "5 %", "7.50/s" as "7.5/s". */
export const round = (text) => text.replace(/(\.\d*?)0+(?!\d)/, "$1").replace(/\.(?!\d)/, "");

/** How long, in the two largest units that matter. */
export function time(seconds) {
  const n = Math.max(0, Math.floor(seconds));
  if (n < 60) return `${n}${NBSP}s`;
  if (n < 3600) return two(n, 60, "min", 1, "s");
  if (n < 86400) return two(n, 3600, "h", 60, "min");
  return two(n, 86400, "d", 3600, "h");
}

function two(n, large, largeUnit, small, smallUnit) {
  const rest = Math.floor((n % large) / small);
  const head = `${Math.floor(n / large)}${NBSP}${largeUnit}`;
  return rest ? `${head} ${rest}${NBSP}${smallUnit}` : head;
}

/** A moment on its day, and with its day when that is another one. */
export function moment(text, now = Date.now()) {
  const at = new Date(text);
  const clock = at.toLocaleTimeString("en-GB");
  const sameDay = at.toDateString() === new Date(now).toDateString();
  return sameDay ? clock : `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${clock}`;
}

const PHASES = { RolledBack: "Rolled back" };

export const phaseName = (phase) => PHASES[phase] ?? phase;

const MODES = {
  none: "Open",
  basicAuth: "Password",
  accessKey: "Access key",
  jwt: "Token (JWT)",
  oauth2: "Login (OAuth 2)",
  closed: "Closed to all",
};

export const access = (mode) => MODES[mode] ?? mode ?? "–";

/** Where requests come in. */
export const endpoint = ({ hosts, path }) => hosts.map((host) => `${host === "*" ? "any host" : host}${path === "/" && host !== "*" ? "" : host === "*" ? ` ${path}` : path}`).join(", ");
