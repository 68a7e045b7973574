// Attendance: choose a session, then its sheet, then one person in it.

import { all } from "./api.js";
import { isDay } from "./days.js";
import { h } from "./dom.js";
import { count, duration, flatText } from "./format.js";
import { loader } from "./refresh.js";
import { sheet } from "./sheet.js";
import { stay } from "./stay.js";
import { FLAGS, csv, field, flags, ident, select, sessionBadge, state, table, text, to, when } from "./ui.js";

export const attendance = (ctx) => [choose, sheet, stay][Math.min(2, ctx.args.filter(Boolean).length)](ctx);

const CAP = 1000;

// choose lists sessions, live and ended.
function choose({ params, draw, set, signal }) {
  let items = [];
  let more = false;
  let limit = 100;
  const filter = { q: params.get("q") ?? "", status: params.get("status") ?? "", from: isDay(params.get("from")) ? params.get("from") : "" };

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
    { id: "flags", label: "Flags", help: FLAGS, cell: flags },
    { id: "session", label: "Timeline", cell: (s) => h("a", { href: to("session", s.sessionId), "aria-label": `open timeline of ${flatText(s.title ?? s.sessionId)}` }, "open") },
  ];

  const render = () => [
    h("div", { class: "title", key: "title" }, h("h1", {}, "Attendance"), h("p", { class: "summary" }, "choose a session, or ", h("a", { href: to("people") }, "find a person"))),
    h("form", { class: "filters", key: "filters", role: "search", onsubmit: (e) => e.preventDefault() },
      field("Search sessions", h("input", { type: "search", value: filter.q, placeholder: "title, id", oninput: (e) => change({ q: e.currentTarget.value }) })),
      field("Status", select(filter.status, [["", "all"], ["LIVE", "live"], ["ENDED", "ended"]], (v) => change({ status: v }))),
      field("Started from", h("input", { type: "date", value: filter.from, onchange: (e) => change({ from: e.currentTarget.value }) })),
      csv("/v1/sessions", { q: filter.q.trim(), status: filter.status })),
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
