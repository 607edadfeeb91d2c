// A stream that stays open while its page can be seen, and says when nobody is there.

import { report, setClock } from "./link.js";
import { needsLogin } from "./session.js";

// Serin beats every five seconds.
const SILENCE = 12_000;
const AGAIN = 1_500;

/**
 * Follows `/api/v1/watch`. `told` has a function for each event; the answer ends it. A browser has few connections to
 * one host, so a page that nobody sees has none. `begun` is called whenever a stream begins, perhaps of another life of Serin.
 */
export function live(query, told, begun = null) {
  let source = null;
  let timer = null;

  const stop = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  const again = (after) => {
    stop();
    timer = setTimeout(open, after);
  };
  const lost = async () => {
    report("lost");
    again(AGAIN);
    if (await needsLogin()) stop();
  };
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(lost, SILENCE);
    report("live");
  };
  const open = () => {
    stop();
    if (document.hidden) return;
    source = new EventSource(`/api/v1/watch${query}`);
    timer = setTimeout(lost, SILENCE);
    source.onerror = lost;
    source.onopen = begun;
    for (const [event, listener] of Object.entries({ beat: (beat) => setClock(beat.now), ...told })) {
      source.addEventListener(event, (message) => {
        // An error of the connection has this type as well, and no data.
        if (message.data === undefined) return;
        heard();
        listener(JSON.parse(message.data));
      });
    }
  };
  const seen = () => {
    if (document.hidden) {
      stop();
    } else if (!source) {
      report("connecting");
      open();
    }
  };
  document.addEventListener("visibilitychange", seen);
  open();
  return () => {
    document.removeEventListener("visibilitychange", seen);
    stop();
  };
}

/** Asks again and again for what has no stream. The answer ends it. */
export function poll(every, work) {
  let timer = null;
  let over = false;
  const turn = async () => {
    if (!document.hidden) {
      try {
        await work();
        report("live");
      } catch (problem) {
        report("lost");
        if (await needsLogin()) over = true;
      }
    }
    if (!over) timer = setTimeout(turn, every);
  };
  turn();
  return () => {
    over = true;
    clearTimeout(timer);
  };
}
