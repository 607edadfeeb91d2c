// Whether Serin answers. Every page says it here, and everybody who must not act on what is old listens.

const listeners = new Set();
let state = { is: "connecting", since: Date.now() };
let offset = 0;

/** "connecting", "live", "lost" (nobody answers) or "full" (Serin answers, and follows no more pages), and since when. */
export const link = () => state;

export function report(is) {
  if (is === state.is) return;
  state = { is, since: Date.now() };
  listeners.forEach((listener) => listener(state));
}

/** Calls now and at each change; the answer ends it. */
export function onLink(listener) {
  listeners.add(listener);
  listener(state);
  return () => listeners.delete(listener);
}

/** Serin's clock is what its moments are compared with, not that of this machine. */
export function setClock(moment) {
  offset = Date.parse(moment) - Date.now();
}

/** The time at Serin, in milliseconds. */
export const now = () => Date.now() + offset;
