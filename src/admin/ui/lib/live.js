// A stream that stays open while its page can be seen, and says why there is none.

import { askAlarms, setAlarms } from "./alarms.js";
import { report, setClock } from "./link.js";
import { learn, needsLogin } from "./session.js";

// Serin beats every five seconds.
const SILENCE = 12_000;
/** How often a page asks what one may do, and one without a stream for all that it has to know, in milliseconds. */
const AGAIN = 5_000;
/** The first wait before a stream is opened again, and the longest, in milliseconds: Serin is away, or has no place. */
const WAITS = { lost: [1_500, 10_000], full: [5_000, 60_000] };
/** How long the question may take why there is no stream. */
const PATIENCE = 4_000;

/** Longer each time, and not the same for all pages: those of everybody begin to wait at the same moment. */
function wait([first, longest], tries) {
  return Math.min(longest, first * 2 ** (tries - 1)) * (0.5 + Math.random() / 2);
}

/**
 * Why there is no stream, which an `EventSource` does not tell: "live" (there could be one), "login", "full" (Serin
 * answers, and has no place for one more) or "lost" (nobody answers, or somebody else does, such as a proxy).
 */
async function why(path) {
  try {
    const { ok, status, headers } = await fetch(path, { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (ok) return "live";
    if (status === 401) return "login";
    const isOurs = headers.get("content-type") === "application/problem+json" && headers.has("retry-after");
    return isOurs && (status === 429 || status === 503) ? "full" : "lost";
  } catch {
    return "lost";
  }
}

/**
 * Follows `/api/v1/watch`. `told` has a function for each event; the answer ends it. A browser has few connections to
 * one host, so a page that nobody sees has none. `begun` is called whenever a stream begins, perhaps of another life of Serin.
 */
export function live(query, told, begun = null) {
  const path = `/api/v1/watch${query}`;
  let source = null;
  let timer = null;
  let tries = 0;
  // Counts up when what was asked before does not matter any more.
  let turn = 0;

  const stop = () => {
    turn += 1;
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  const lost = async () => {
    stop();
    const mine = turn;
    tries += 1;
    let is = await why(path);
    if (mine !== turn) return;
    // Streams end also when Serin starts again, or when somebody may do more or less than before.
    if ((is === "live" || is === "login") && (await needsLogin())) return;
    if (mine !== turn) return;
    if (is === "login" || (is === "live" && tries > 1)) is = "lost";
    report(is);
    timer = setTimeout(open, wait(WAITS[is] ?? WAITS.lost, tries));
  };
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(lost, SILENCE);
    tries = 0;
    report("live");
  };
  const open = () => {
    stop();
    if (document.hidden) return;
    source = new EventSource(path);
    timer = setTimeout(lost, SILENCE);
    source.onerror = lost;
    source.onopen = begun;
    const always = { beat: (beat) => setClock(beat.now), alarms: ({ alarms }) => setAlarms(alarms) };
    for (const [event, listener] of Object.entries({ ...always, ...told })) {
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
  learn();
  const rights = setInterval(() => source?.readyState === EventSource.OPEN && learn(), AGAIN);
  return () => {
    clearInterval(rights);
    document.removeEventListener("visibilitychange", seen);
    stop();
  };
}

/** Asks again and again for what has no stream: alarms, what one may do, and what is the page's own. The answer ends it. */
export function poll(work = () => {}, every = AGAIN) {
  let timer = null;
  let over = false;
  const turn = async () => {
    if (!document.hidden) {
      try {
        const [problem] = await Promise.all([learn(), askAlarms(), work()]);
        if (problem) throw problem;
        report("live");
      } catch (problem) {
        // Who refuses is there.
        report(problem.status ? "live" : "lost");
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
