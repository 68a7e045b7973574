// Stay: one person in one session: when they were there, what the percentage is
// made of, and which facts came late.

import { all, get, id } from "./api.js";
import { closing } from "./attended.js";
import { axis, bars, scale } from "./chart.js";
import { h } from "./dom.js";
import { count, duration, flatText, millis, percent } from "./format.js";
import { delay, isLate, lateFacts } from "./late.js";
import { rawRecords } from "./records.js";
import { loader } from "./refresh.js";
import { badge, copyLink, elapsed, figure, figures, flags, ident, sessionBadge, state, table, text, to, when } from "./ui.js";

const CAP = 1000;

// stretches cuts a session's time at a person's connections, in order: {kind, from, to}
// in ms; to is null where a connection is open. "in": a connection covers it; "away":
// between two; "before" and "after": the rest of the session. The rules are those of gaps.
export function stretches(p, session) {
  const start = millis(session.startedAt);
  const end = millis(session.endedAt);
  const out = [];
  for (const c of p.connections) {
    const from = millis(c.joinedAt);
    if (end !== null && from >= end) break;
    const left = millis(c.leftAt);
    const to = left === null ? null : Math.max(from, end === null ? left : Math.min(left, end));
    const last = out.at(-1);
    if (last && from <= last.to) last.to = to === null ? null : Math.max(last.to, to);
    else {
      if (last) out.push({ kind: "away", from: last.to, to: from });
      out.push({ kind: "in", from, to });
    }
    if (to === null) break;
  }
  const first = out[0]?.from ?? end;
  if (start !== null && first !== null && first > start) out.unshift({ kind: "before", from: start, to: first });
  const last = out.at(-1);
  if (end !== null && last && last.to !== null && last.to < end) out.push({ kind: "after", from: last.to, to: end });
  return out;
}

const KINDS = {
  in: () => badge("good", "in the session"),
  away: () => badge("warn", "away"),
  before: () => badge("idle", "not there yet"),
  after: () => badge("idle", "gone"),
};

export function stay({ args: [sessionId, participantId], params, draw, set, signal }) {
  const path = `/v1/sessions/${id(sessionId)}`;
  const raw = rawRecords({ path, params, set, draw, signal, person: participantId });
  let session = null;
  let who = null;
  let records = [];
  let at = 0;

  const minimum = () => ({ minSequence: at || null, wait: at ? "5s" : null });
  const reading = loader(async () => {
    const { body: s } = await get(path, minimum(), { signal });
    // The person's sessions that began in this one's second: this one is among them.
    const began = Math.floor(millis(s.startedAt) / 1000) * 1000;
    const second = { from: new Date(began).toISOString(), to: new Date(began + 1000).toISOString() };
    const { items } = await all(`/v1/participants/${id(participantId)}/sessions`, { ...second, ...minimum() }, { signal, cap: CAP });
    session = s;
    who = items.find((p) => p.sessionId === sessionId) ?? null;
  }, { draw, signal, rest: 80 });

  const events = (filter) => all(`${path}/events`, { ...filter, minSequence: at || null }, { signal, cap: CAP }).then((list) => list.items);
  const facts = loader(async () => {
    records = (await Promise.all([events({ participantId }), events({ type: "meeting.started" }), events({ type: "meeting.ended" })])).flat();
  }, { draw, signal, rest: 500 });

  function changed(changes) {
    const mine = changes.filter((c) => (c.view === "attendance" || c.view === "sessions") && (c.key.includes(sessionId) || c.key.includes("h_")));
    if (!mine.length) return;
    at = Math.max(at, ...mine.map((c) => c.sequence));
    reading.load();
    facts.load();
    raw.changed(at);
  }

  // spent is the time in all stretches of a kind, in seconds.
  const spent = (list, kind) => list.filter((s) => s.kind === kind && s.to !== null).reduce((n, s) => n + (s.to - s.from) / 1000, 0);

  function words(list) {
    const missed = [["before", "not there yet at the start"], ["away", "away in between"], ["after", "gone before the end"]].map(([kind, say]) => [spent(list, kind), say]).filter(([seconds]) => seconds > 0);
    const ended = session.status !== "LIVE";
    const early = list.find((s) => s.kind === "in")?.from < millis(session.startedAt);
    return h("section", { key: "words", "aria-labelledby": "why-h" }, h("h2", { id: "why-h" }, "Why this percentage"),
      h("p", { class: "why" }, h("strong", {}, duration(who.attendedSeconds)), ended ? [" of ", h("strong", {}, duration(session.durationSeconds)), " while the session ran"] : " so far; the session still runs, and the percentage is known at its end",
        who.attendanceRatio === null ? "." : [": ", h("strong", {}, percent(who.attendanceRatio)), "."]),
      missed.length ? h("p", {}, "Missed: ", missed.map(([seconds, say], i) => [i ? ", " : "", h("strong", {}, duration(seconds)), ` ${say}`]), ".") : ended ? h("p", {}, "Nothing of the session was missed.") : null,
      who.present ? h("p", {}, "A connection is open. It counts when it is closed.") : null,
      who.connectedSeconds > who.attendedSeconds + 1 ? h("p", {}, `The connections add up to ${duration(who.connectedSeconds)}: two devices at once count once, and time after the end does not count.`) : null,
      early ? h("p", {}, "The time before the session's start counts too.") : null,
      who.connections.some((c) => c.closedBy === "MEETING_END") ? h("p", {}, badge("warn", "meeting end"), " No leave was received for a connection: it counts up to the session's end.") : null,
      who.connectionsOmitted ? h("p", {}, `The list leaves out the ${count(who.connectionsOmitted)} earliest connections; the sums have them.`) : null);
  }

  const columns = [
    { id: "kind", label: "What", cell: (s) => KINDS[s.kind]() },
    { id: "from", label: "From", cell: (s) => when(new Date(s.from).toISOString()) },
    { id: "to", label: "To", cell: (s) => (s.to === null ? "now" : when(new Date(s.to).toISOString())) },
    { id: "for", label: "Time", num: true, cell: (s) => (s.to === null ? elapsed(s.from) : duration((s.to - s.from) / 1000)) },
  ];

  function times(list) {
    const now = Date.now();
    const range = scale(session, [who], now);
    return h("section", { key: "times", "aria-labelledby": "times-h" }, h("h2", { id: "times-h" }, "In the session, and away"),
      h("div", { class: "steps" }, bars(who, range, now), axis(range)),
      list.length ? table({ caption: "Stretches", columns, rows: list, key: (s) => `${s.kind} ${s.from}`, limit: CAP }) : h("p", { class: "note" }, "No connection lies in the session's time."));
  }

  const lateColumns = [
    { id: "what", label: "Fact", cell: (f) => text(f.what, "–", 60) },
    { id: "at", label: "Happened", cell: (f) => when(f.at) },
    { id: "receivedAt", label: "Received", cell: (f) => when(f.receivedAt) },
    { id: "delay", label: "Delay", num: true, cell: delay },
    { id: "then", label: "Before it", cell: (f) => h("a", { href: `${to("session", sessionId)}?asOf=${millis(f.receivedAt) - 1}`, "aria-label": `as known then, before the ${f.what} was received` }, "as known then") },
  ];

  function late() {
    const list = lateFacts(records).filter(isLate);
    return h("section", { key: "late", "aria-labelledby": "late-h" }, h("h2", { id: "late-h" }, "What came late"),
      state({ loading: !facts.loaded && !facts.error, error: facts.error, retry: facts.load, empty: facts.loaded && !list.length ? "Nothing: each of the facts was received within a minute." : null }),
      list.length ? [h("p", {}, "Received more than a minute after they happened: until then the figures were different."), table({ caption: "Late facts", columns: lateColumns, rows: list, key: (f) => f.eventId, limit: CAP })] : null);
  }

  function render() {
    const heading = h("div", { class: "title", key: "title" }, h("h1", {}, "Attendance"));
    if (!session) return [heading, reading.error?.status === 404 ? state({ empty: "No sessions for this participant." }) : state({ loading: !reading.error, error: reading.error, retry: reading.load })];
    if (!who) return [heading, state({ empty: "This participant was not in this session." }), h("p", { key: "back" }, h("a", { href: to("attendance", sessionId) }, "Who was"))];
    const list = stretches(who, session);
    return [
      h("div", { class: "title", key: "title" }, h("h1", {}, text(who.displayName || participantId, "–", 80), " in ", text(session.title ?? session.roomName, "an untitled session", 80)), h("p", { class: "summary" }, sessionBadge(session), " ",
        h("a", { class: "button", href: to("person", participantId) }, "All sessions"), " ", h("a", { class: "button", href: to("attendance", sessionId) }, "Attendance sheet"), " ", h("a", { class: "button", href: to("session", sessionId) }, "Timeline"), " ", copyLink())),
      h("p", { class: "ids", key: "ids" }, "participant ", ident(participantId, true), " session ", ident(sessionId), " flags ", flags(session)),
      state({ error: reading.error, retry: reading.load }),
      figures(figure("% of session attended", percent(who.attendanceRatio)), figure("Attended", duration(who.attendedSeconds)), figure("Session ran", duration(session.durationSeconds)), figure("Gaps", who.gaps ? count(who.gaps.length) : "–"),
        figure("First join", when(who.firstJoinedAt)), figure("Last leave", who.present ? "in" : when(who.lastLeftAt)), figure("Closed by", closing(who))),
      words(list),
      times(list),
      late(),
      raw.render(),
    ];
  }

  reading.load();
  facts.load();
  const reload = () => {
    reading.load();
    facts.load();
  };
  return { title: () => flatText(who?.displayName ?? participantId), render, changed, reload };
}
