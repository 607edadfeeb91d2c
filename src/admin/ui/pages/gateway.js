// One gateway: what it is, how its release goes and why, what Envoys measure, and what operators can do.

import { h, slot } from "../lib/dom.js";
import { onAlarms } from "../lib/alarms.js";
import { ask, get, at, page } from "../lib/api.js";
import { access, ended, endpoint, sentence, time } from "../lib/format.js";
import { live } from "../lib/live.js";
import { link, now, onLink } from "../lib/link.js";
import { mayNotAct, mayNotEdit, onSession } from "../lib/session.js";
import { wayTo } from "../parts/button.js";
import { charts } from "../parts/charts.js";
import { code } from "../parts/code.js";
import { evidence } from "../parts/evidence.js";
import { journal, revisions } from "../parts/journal.js";
import { numbers } from "../parts/numbers.js";
import { pill } from "../parts/phase.js";
import { problems } from "../parts/problems.js";
import { shadow } from "../parts/shadow.js";
import { bar, legend } from "../parts/split.js";
import { progress, steps } from "../parts/steps.js";
import { traffic } from "../parts/traffic.js";
import { verbs } from "../parts/verbs.js";

export function gateway(main, name) {
  let known = null;
  let isGone = false;
  let entries = [];
  let isAll = false;
  let unread = null;
  // Whether the file has a release, and whether the store is away: then nothing is known of that release.
  let isRelease = false;
  let isAway = false;
  const isUnknown = () => isAway && isRelease && !known?.rollout;
  let tag = null;
  const drawing = charts();
  const place = (tagName = "div", attributes = {}) => h(tagName, attributes);
  const section = (title, body, id) => h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), body);

  const head = slot(place("div"), top);
  const wrong = slot(place("div"), problems);
  const release = slot(place("div"), (g, isLive) => releaseOf(g, isLive, tag, isUnknown()));
  const clock = place("p", { class: "faint", id: "since" });
  const waits = slot(place("div"), progress);
  const measured = slot(place("div", { class: "stale-able" }), numbers);
  const tests = slot(place("div", { class: "stale-able" }), evidence);
  const happened = slot(place("div"), () => journal(entries, isAll, () => { isAll = true; render(); }, unread));
  const back = slot(place("div"), revisions);
  const copies = slot(place("div", { class: "stale-able shadowed" }), shadow);
  const text = slot(place("div"), file);

  const sections = {
    release: h("section", { class: "card", "aria-labelledby": "release" }, release.element, clock, waits.element),
    charts: section("Live", h("div", {}, h("div", { class: "stale-able" }, drawing.element), measured.element), "live"),
    tests: section("Evidence", tests.element, "evidence"),
    shadow: section("Shadow", copies.element, "shadow"),
    revisions: section("Revisions", back.element, "revisions"),
    journal: section("Journal", happened.element, "journal"),
    text: section("File", text.element, "file"),
  };
  const all = h("div", { class: "gateway" }, wrong.element, sections.release, sections.charts, sections.tests,
    sections.shadow, sections.revisions, sections.journal, sections.text);
  const nothing = h("div", { class: "empty" });
  main.append(head.element, nothing, all);
  all.hidden = true;
  head.show({ name });

  const render = () => {
    const isLive = link().is === "live";
    if (!known && !isGone) nothing.textContent = ["lost", "full"].includes(link().is) ? "Nothing was read yet." : "Reading the gateway…";
    if (!known) return;
    // What one may do is in what is built, and changes while this page is open.
    const why = [mayNotAct(), mayNotEdit()];
    head.show(known, why);
    wrong.show(known.diagnostics);
    release.show(known, isLive, tag, isUnknown(), why);
    const going = known.rollout;
    waits.show(going ?? null);
    tests.show(going ?? null);
    if (JSON.stringify(known.shadow) !== shadowed) report();
    back.show(known, isLive, why);
    happened.show(entries.map((e) => e.sequence), isAll, unread);
    sections.release.hidden = !known.serving && !going;
    sections.charts.hidden = !known.serving;
    sections.tests.hidden = !going || going.phase === "Stable";
    sections.revisions.hidden = !going || !going.weights.length;
    drawing.show(known, entries);
  };
  back.show = ((show) => (g, ...more) => g.rollout && show(g, ...more))(back.show);
  tests.show = ((show) => (r) => r && show(r))(tests.show);
  waits.show = ((show) => (r) => r && show(r))(waits.show);

  const tick = () => {
    const since = known?.rollout?.since;
    clock.textContent = since && known.rollout.phase !== "Stable" && link().is === "live" ? `In this phase for ${time((now() - Date.parse(since)) / 1000)}.` : "";
  };
  const timer = setInterval(tick, 1000);

  // What has no stream: asked again when the file is another one.
  let asked = "";
  let turn = 0;
  const more = async () => {
    const { file, fileTag, diagnostics } = known;
    const version = JSON.stringify([file, fileTag, diagnostics]);
    if (version === asked) return;
    asked = version;
    turn += 1;
    const mine = turn;
    let answer = null;
    let isOver = true;
    try {
      answer = await ask("GET", at(name, "/file"));
    } catch (problem) {
      // Who was not heard asks again with the next news; who was refused would be refused again.
      isOver = problem.status >= 400 && problem.status < 500;
    }
    // An answer that was overtaken is of an older file.
    if (mine !== turn) return;
    if (!isOver) asked = "";
    tag = answer?.tag ?? null;
    if (answer) isRelease = /^rollout:/m.test(answer.body.yaml);
    if (answer) text.show(answer.body, diagnostics, name, mayNotEdit());
    sections.text.hidden = !answer;
    render();
  };
  sections.text.hidden = true;
  sections.shadow.hidden = true;
  let shadowed;
  const report = async () => {
    shadowed = JSON.stringify(known?.shadow);
    if (document.hidden || !known?.shadow) {
      sections.shadow.hidden = !known?.shadow;
      if (!known?.shadow) return;
    }
    try {
      copies.show(known.shadow, await get(at(name, "/shadow")), known.rollout?.shadowFirst !== undefined);
    } catch (problem) {
      // Without an answer, what was shown is the newest there is.
      if (problem.status === 404 || sections.shadow.hidden) copies.show(known.shadow, null);
    }
    sections.shadow.hidden = false;
  };
  const reports = setInterval(report, 5000);

  // Whether the file can be changed is in what was read of it.
  const unsession = onSession(() => {
    asked = "";
    render();
    if (known) more();
  });
  const unlink = onLink(render);
  const unalarm = onAlarms((all) => {
    isAway = all.some(({ kind }) => kind === "store");
    render();
  });
  const end = live(`?gateway=${encodeURIComponent(name)}`, {
    gateway: (view) => {
      known = view;
      isGone = false;
      all.hidden = false;
      nothing.hidden = true;
      render();
      tick();
      more();
    },
    gone: () => {
      known = null;
      isGone = true;
      asked = "";
      turn += 1;
      all.hidden = true;
      nothing.hidden = false;
      nothing.replaceChildren(h("h2", {}, "There is no such gateway"), h("p", {}, "Its file is not there, or has another name now. If it comes, it is shown here at once."), h("p", {}, h("a", { href: "/" }, "All gateways")));
    },
    numbers: (fresh) => known && measured.show({ upstreams: known.upstreams, sessionAffinity: known.sessionAffinity, rollout: known.rollout && { primary: known.rollout.primary, canary: known.rollout.canary } }, fresh),
    points: ({ points }) => drawing.take(points),
    problem: (why) => {
      unread = why;
      render();
    },
    message: (entry) => {
      if (entries.some((e) => e.sequence === entry.sequence)) return;
      entries = [entry, ...entries].sort((a, b) => b.sequence - a.sequence);
      render();
    },
  }, () => {
    // Each stream tells the journal anew, which may be another one than before.
    entries = [];
    unread = null;
  });
  return {
    title: name,
    end: () => {
      clearInterval(timer);
      clearInterval(reports);
      unsession();
      unlink();
      unalarm();
      end();
      drawing.end();
    },
  };
}

function top(gateway) {
  const { name, phase, description } = gateway;
  const facts = gateway.serving ? [
    ["Where", endpoint(gateway)],
    ["Listener", gateway.listener],
    ["Access", access(gateway.authentication)],
    gateway.sessionAffinity && ["Users keep their version by", gateway.sessionAffinity],
    gateway.needsEnvoy && ["Needs Envoy", `${gateway.needsEnvoy}; older ones answer 503 in its place`],
    gateway.proxies?.length && ["Envoys", gateway.proxies.join(", ")],
    gateway.grpcTargets && ["gRPC", gateway.grpcTargets.join(", ")],
    ["File", gateway.file],
  ].filter(Boolean) : gateway.file ? [["File", gateway.file]] : [];
  const labels = Object.entries(gateway.labels ?? {});
  return [
    h("nav", { class: "crumbs", "aria-label": "Where you are" }, h("a", { href: "/" }, "Gateways"), h("span", { "aria-hidden": "true" }, "/"), h("span", { class: "name" }, name)),
    h("div", { class: "head" }, h("h1", { class: "name" }, name), phase && pill(phase), h("div", { class: "grow" }),
      phase && wayTo(page(name, "/edit"), "Edit", mayNotEdit(), "")),
    (description || labels.length > 0) && h("p", { class: "lead" }, description, labels.map(([key, value]) => [" ", h("span", { class: "tag" }, `${key}: ${value}`)])),
    h("dl", { class: "facts" }, facts.map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, value)))),
  ];
}

function releaseOf(gateway, isLive, tag, isUnknown) {
  const going = gateway.rollout;
  const isRelease = going && going.phase !== "Stable";
  // Where there is no pointer, nothing else says why buttons are off.
  const off = isRelease ? mayNotAct() : going || !gateway.serving ? null : mayNotEdit();
  const title = isRelease ? `${going.canary} in place of ${going.primary}` : "Split";
  return [
    h("div", { class: "head" }, h("h2", { id: "release", class: "name" }, title), h("div", { class: "grow" }),
      isRelease ? verbs(gateway, isLive) : !going && !isUnknown && traffic(gateway, isLive, tag)),
    off && h("p", { class: "faint off" }, ended(`Buttons are off: ${off}`)),
    bar(gateway, { large: true }), legend(gateway),
    isUnknown && h("p", { class: "sentence" }, "Its release is known to the store alone, which cannot be read now. Until it can, the primary has all requests."),
    isRelease && steps(going),
    going && h("p", { class: "sentence" }, said(going)),
    going?.unkept && h("p", { class: "sentence" }, ended(`${going.unkept.verb} by ${going.unkept.actor} is not kept yet: ${going.unkept.message}`)),
    going?.paused && h("p", { class: "faint" }, CAUSES[going.paused] ?? ""),
  ];
}

const CAUSES = {
  operator: "Paused by an operator.",
  manualStep: "This step waits for somebody's word: Promote goes on.",
  deadline: "The evidence did not come in time. Look at it, then Promote, Resume or Abort.",
  failure: "The canary does harm, and the file says that people decide: Abort, or Resume with new evidence.",
};

/** What the engine says; names of versions stay as they are. */
function said({ message, primary, canary }) {
  if (!message) return "";
  return [primary, canary].some((name) => message.startsWith(`${name} `)) ? ended(message) : sentence(message);
}

function file(answer, diagnostics, name) {
  const why = answer.writable === false ? answer.reason : mayNotEdit();
  return [
    h("div", { class: "row" }, h("span", { class: "faint" }, answer.file), why && h("span", { class: "faint" }, `· ${why}`), h("div", { class: "grow" }),
      wayTo(page(name, "/edit?as=yaml"), "Edit as YAML", why, "small")),
    code(answer.yaml, diagnostics),
  ];
}
