// Who looks at the pages, and what they may do.

import { ask } from "./api.js";

const listeners = new Set();
let session = { name: null, role: null, loginNeeded: false, editing: { allowed: true, reason: null }, known: false };

export const who = () => session;

/**
 * Asks Serin. Without an answer nothing is known, and what is not allowed is refused when it is tried. What one may do
 * changes while a page is open, as when no control plane leads for a moment; the answer: why Serin gave none, or null.
 */
export async function learn() {
  const before = JSON.stringify(session);
  let problem = null;
  try {
    const { body } = await ask("GET", "session");
    session = { ...body, known: true };
  } catch (gone) {
    problem = gone;
    if (gone.status !== 404) session = { ...session, known: false };
  }
  if (JSON.stringify(session) !== before) listeners.forEach((listener) => listener(session));
  return problem;
}

/** Whether Serin answers, and wants to know first who asks. */
export async function needsLogin() {
  await learn();
  if (!session.known || !session.loginNeeded || session.role) return false;
  if (location.pathname !== "/login") {
    const back = encodeURIComponent(location.pathname + location.search);
    location.assign(`/login?back=${back}`);
  }
  return true;
}

/** Calls now and at each change; the answer ends it. */
export function onSession(listener) {
  listeners.add(listener);
  listener(session);
  return () => listeners.delete(listener);
}

/** Why nothing can be ordered; null: it can. */
export function mayNotAct() {
  return session.role === "viewer" ? session.editing.reason ?? "You may only look." : null;
}

/** Why no file can be changed; null: it can. */
export function mayNotEdit() {
  return session.editing.allowed ? null : session.editing.reason;
}
