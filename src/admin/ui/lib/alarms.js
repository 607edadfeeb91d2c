// What somebody should look at that is about no gateway in particular. Streams tell it; pages without one ask.

import { get } from "./api.js";

const listeners = new Set();
let alarms = [];

/** What is the same is not told again: a screen reader would read it each time. */
export function setAlarms(list) {
  if (JSON.stringify(list) === JSON.stringify(alarms)) return;
  alarms = list;
  listeners.forEach((listener) => listener(alarms));
}

/** Calls now and at each change; the answer ends it. */
export function onAlarms(listener) {
  listeners.add(listener);
  listener(alarms);
  return () => listeners.delete(listener);
}

/** Who may not hear them, or is not answered, keeps those of before. */
export async function askAlarms() {
  const answer = await get("alarms").catch(() => null);
  if (answer) setAlarms(answer.alarms);
}
