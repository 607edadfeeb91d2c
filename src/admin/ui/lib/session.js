// Who looks at the pages, and what they may do.

import { ask } from "./api.js";

const listeners = new Set();
let session = { name: null, role: null, loginNeeded: false, editing: { allowed: true, reason: null }, known: false };

export const who = () => session;

/** Asks Serin. Without an answer nothing is known, and what is not allowed is refused when it is tried. */
export async function learn() {
  try {
    const { body } = await ask("GET", "session");
    session = { ...body, known: true };
  } catch (problem) {
    if (problem.status !== 404) session = { ...session, known: false };
  }
  listeners.forEach((listener) => listener(session));
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
