// Attendance: choose a session, then its sheet: who was there, and how long.

import { all, get, id } from "./api.js";
import { h, memo } from "./dom.js";
import { clock, count, duration, flatText, millis, percent } from "./format.js";
import { loader } from "./refresh.js";
import { roster } from "./roster.js";
import { badge, csv, field, figure, figures, flags, ident, select, sessionBadge, sorted, sorting, state, table, text, to, when } from "./ui.js";

export const attendance = (ctx) => (ctx.args[0] ? sheet(ctx) : choose(ctx));

const CAP = 1000;

// choose lists sessions, live and ended.
function choose({ params, draw, set, signal }) {
  let items = [];
  let more = false;
  let limit = 100;
  const filter = { q: params.get("q") ?? "", status: params.get("status") ?? "", from: params.get("from") ?? "" };

  const reading = loader(async () => {
    const from = filter.from ? new Date(`${filter.from}T00:00:00`).toISOString() : null;
    ({ items, more } = await all("/v1/sessions", { q: filter.q.trim(), status: filter.status, from, limit: 200 }, { signal, cap: CAP }));
  }, { draw, signal, rest: 400 });
  const load = reading.load;

  const change = (values) => {
    Object.assign(filter, values);
    set(values);
    load();
  };

  const columns = [
    { id: "title", label: "Meeting", cell: (s) => [h("a", { class: "main", href: to("attendance", s.sessionId) }, text(s.title ?? s.roomName, "untitled", 80)), h("span", { class: "sub" }, ident(s.sessionId))] },
    { id: "status", label: "Status", cell: sessionBadge },
    { id: "organizer", label: "Organizer", cell: (s) => text(s.organizer?.name ?? s.organizer?.id, "–", 60) },
    { id: "startedAt", label: "Started", cell: (s) => when(s.startedAt) },
    { id: "durationSeconds", label: "Duration", num: true, cell: (s) => duration(s.durationSeconds) },
    { id: "uniqueParticipants", label: "Participants", num: true, cell: (s) => count(s.uniqueParticipants) },
    { id: "participantSeconds", label: "Participant time", num: true, cell: (s) => duration(s.participantSeconds) },
    { id: "flags", label: "Flags", cell: flags },
    { id: "session", label: "Timeline", cell: (s) => h("a", { href: to("session", s.sessionId), "aria-label": `open timeline of ${flatText(s.title ?? s.sessionId)}` }, "open") },
  ];

  const render = () => [
    h("div", { class: "title", key: "title" }, h("h1", {}, "Attendance"), h("p", { class: "summary" }, "choose a session, or ", h("a", { href: to("people") }, "find a person"))),
    h("form", { class: "filters", key: "filters", role: "search", onsubmit: (e) => e.preventDefault() },
      field("Search sessions", h("input", { type: "search", value: filter.q, placeholder: "title, id", oninput: (e) => change({ q: e.currentTarget.value }) })),
      field("Status", select(filter.status, [["", "all"], ["LIVE", "live"], ["ENDED", "ended"]], (v) => change({ status: v }))),
      field("Started from", h("input", { type: "date", value: filter.from, onchange: (e) => change({ from: e.currentTarget.value }) })),
      csv("/v1/sessions", { q: filter.q.trim(), status: filter.status }, "sessions.csv")),
    state({ loading: !reading.loaded, error: reading.error, retry: load, empty: reading.loaded && !items.length ? "No matching sessions." : null }),
    items.length ? table({ caption: "Sessions", columns, rows: items, key: (s) => s.sessionId, limit, onMore: (n) => {
      limit = n;
      draw();
    } }) : null,
    more ? h("p", { class: "note", key: "cap" }, `The latest ${count(CAP)} are listed; search for others.`) : null,
  ];

  load();
  return { title: () => "Attendance", render, reload: load, changed: (changes) => changes.some((c) => c.view === "sessions") && load() };
}

// closing says how a participant's last connection ended.
export function closing(p) {
  if (p.present) return badge("good", "still in");
  const by = p.connections.reduce((last, c) => (!last || (c.leftAt ?? "") > (last.leftAt ?? "") ? c : last), null)?.closedBy;
  return by === "MEETING_END" ? badge("warn", "meeting end", "no leave was seen; the meeting's end closed it") : badge("idle", "left");
}

const connectionList = (p) => h("details", {}, h("summary", {}, count(p.connections.length + (p.connectionsOmitted ?? 0))), h("ul", {}, p.connections.map((c) => h("li", { key: c.peerId }, when(c.joinedAt), " to ", c.leftAt ? when(c.leftAt) : "now", c.closedBy === "MEETING_END" ? " (meeting end)" : "", ", ", c.leftAt ? duration(c.seconds) : "still in"))));

const ratio = (p) => (p.attendanceRatio === null || p.attendanceRatio === undefined ? h("span", { class: "none" }, "–") : h("span", { class: "ratio" }, h("span", { class: "track", "aria-hidden": "true" }, h("span", { class: "fill", style: { width: `${p.attendanceRatio * 100}%` } })), percent(p.attendanceRatio)));

// sheetColumns serve the sheet and a person's history.
export const sheetColumns = [
  { id: "firstJoinedAt", label: "First join", sort: (p) => millis(p.firstJoinedAt), cell: (p) => when(p.firstJoinedAt) },
  { id: "lastLeftAt", label: "Last leave", sort: (p) => millis(p.lastLeftAt), cell: (p) => (p.present ? h("span", { class: "none" }, "in") : when(p.lastLeftAt)) },
  { id: "closedBy", label: "Closed by", cell: closing },
  { id: "attendedSeconds", label: "Attended", num: true, sort: (p) => p.attendedSeconds, cell: (p) => h("strong", {}, duration(p.attendedSeconds)) },
  { id: "connectedSeconds", label: "Connected", num: true, sort: (p) => p.connectedSeconds, cell: (p) => duration(p.connectedSeconds) },
  { id: "connections", label: "Connections", num: true, sort: (p) => p.connections.length, cell: connectionList },
  { id: "longestGapSeconds", label: "Longest gap", num: true, sort: (p) => p.longestGapSeconds, cell: (p) => (p.longestGapSeconds ? duration(p.longestGapSeconds) : h("span", { class: "none" }, "–")) },
  { id: "attendanceRatio", label: "% of session attended", num: true, sort: (p) => p.attendanceRatio, cell: ratio },
];

// sheet is one session's attendance.
function sheet({ args: [sessionId], params, draw, set, signal }) {
  const path = `/v1/sessions/${id(sessionId)}`;
  const rows = memo();
  const people = roster(sessionId, signal);
  let session = null;
  let at = 0;
  let limit = 200;
  let q = params.get("q") ?? "";
  const sort = sorting({ params, set }, "firstJoinedAt");

  const reading = loader(async () => {
    const p = { minSequence: at || null, wait: at ? "5s" : null };
    const [s] = await Promise.all([get(path, p, { signal }), people.load(p)]);
    session = s.body;
  }, { draw, signal, rest: 40 });
  const load = reading.load;

  function changed(changes) {
    for (const c of changes) {
      const key = c.view === "attendance" ? c.key.slice(0, c.key.indexOf(".")) : c.view === "sessions" ? c.key.slice(c.key.indexOf(".") + 1) : null;
      if (key !== sessionId && !key?.startsWith("h_")) continue;
      at = Math.max(at, c.sequence);
      if (c.view === "attendance") people.touch(c.key);
      else if (c.key.startsWith("ended.")) people.all();
      load();
    }
  }

  const columns = [
    { id: "displayName", label: "Participant", sort: (p) => (p.displayName ?? p.participantId).toLowerCase(), cell: (p) => [h("a", { class: "main", href: to("person", p.participantId) }, text(p.displayName || p.participantId, "–", 80)), h("span", { class: "sub" }, ident(p.participantId))] },
    ...sheetColumns,
  ];

  function render() {
    if (!session) return [h("h1", { key: "h" }, "Attendance"), reading.error?.status === 404 ? state({ empty: "No such session." }) : state({ loading: !reading.error, error: reading.error, retry: load })];
    const needle = q.trim().toLowerCase();
    const everybody = people.list();
    const found = everybody.filter((p) => !needle || p.displayName?.toLowerCase().includes(needle) || p.participantId.toLowerCase().includes(needle));
    const list = sorted(found, columns, sort, (p) => p.participantId);
    const present = everybody.filter((p) => p.present).length;
    return [
      h("div", { class: "title", key: "title" }, h("h1", {}, "Attendance: ", text(session.title ?? session.roomName, "untitled", 120)), h("p", { class: "summary" }, sessionBadge(session), " ", h("a", { class: "button", href: to("session", sessionId) }, "Timeline"))),
      figures(figure("Started", when(session.startedAt)), figure(session.status === "LIVE" ? "Status" : "Ended", session.status === "LIVE" ? "live" : when(session.endedAt)), figure("Duration", duration(session.durationSeconds)), figure("Participants", count(everybody.length)), figure("Present", count(present)), figure("Total attended", duration(everybody.reduce((n, p) => n + p.attendedSeconds, 0)))),
      h("form", { class: "filters", key: "filters", role: "search", onsubmit: (e) => e.preventDefault() },
        field("Search", h("input", { type: "search", value: q, placeholder: "name, id", oninput: (e) => {
          q = e.currentTarget.value;
          set({ q });
        } })),
        csv(`${path}/participants`, {}, "attendance.csv"), h("button", { type: "button", onclick: () => print() }, "Print")),
      h("p", { class: "printed", key: "printed" }, `Session ${flatText(sessionId)}, printed ${new Date().toLocaleString()} (local times). Sorted by ${columns.find((c) => c.id === sort.by)?.label ?? "first join"}; as of ${clock(Date.now())}.`),
      state({ error: reading.error, retry: load, empty: list.length ? null : everybody.length ? "No matching participants." : "Nobody was in this session." }),
      list.length ? table({ caption: "Attendance sheet", columns, rows: list, key: (p) => p.participantId, sort, limit, memo: rows, onSort: sort.click, onMore: (n) => {
        limit = n;
        draw();
      } }) : null,
      everybody.length ? h("p", { class: "note print-hide", key: "say" }, "Attended: two devices at once count once. Connected: the sum, what providers bill. Longest gap: the longest time away between two connections.") : null,
    ];
  }

  const reload = () => {
    people.all();
    load();
  };
  load();
  return { title: () => `Attendance: ${flatText(session?.title ?? sessionId)}`, render, changed, reload };
}
