// Sheet: one session's attendance: who was there, and how long.

import { get, id } from "./api.js";
import { sheetColumns, threshold } from "./attended.js";
import { h, memo } from "./dom.js";
import { clock, count, duration, flatText, percent } from "./format.js";
import { loader } from "./refresh.js";
import { roster } from "./roster.js";
import { copyLink, csv, field, figure, figures, ident, sessionBadge, sorted, sorting, state, table, text, to, when } from "./ui.js";

export function sheet({ args: [sessionId], params, draw, set, signal }) {
  const path = `/v1/sessions/${id(sessionId)}`;
  const rows = memo();
  const people = roster(sessionId, signal);
  const least = threshold({ params, set });
  const sort = sorting({ params, set }, "firstJoinedAt");
  let session = null;
  let at = 0;
  let limit = 200;
  let q = params.get("q") ?? "";

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
    { id: "displayName", label: "Participant", sort: (p) => (p.displayName ?? p.participantId).toLowerCase(), cell: (p) => [h("a", { class: "main", href: to("attendance", sessionId, p.participantId) }, text(p.displayName || p.participantId, "–", 80)), h("span", { class: "sub" }, ident(p.participantId))] },
    ...sheetColumns,
  ];

  function totals(everybody) {
    const live = session.status === "LIVE";
    return figures(figure("Started", when(session.startedAt)), figure(live ? "Status" : "Ended", live ? "live" : when(session.endedAt)), figure("Duration", duration(session.durationSeconds)), figure("Participants", count(everybody.length)),
      figure("Present", count(everybody.filter((p) => p.present).length)), figure("Total attended", duration(everybody.reduce((n, p) => n + p.attendedSeconds, 0))));
  }

  function filters() {
    return h("form", { class: "filters", key: "filters", role: "search", "aria-label": "Participants", onsubmit: (e) => e.preventDefault() },
      field("Search", h("input", { type: "search", value: q, placeholder: "name, id", oninput: (e) => {
        q = e.currentTarget.value;
        set({ q });
      } })),
      least.control(),
      csv(`${path}/participants`, { attendedAtLeast: least.least }), h("button", { type: "button", onclick: () => print() }, "Print"), copyLink());
  }

  function render() {
    if (!session) return [h("h1", { key: "h" }, "Attendance"), reading.error?.status === 404 ? state({ empty: "No such session." }) : state({ loading: !reading.error, error: reading.error, retry: load })];
    const needle = q.trim().toLowerCase();
    const everybody = people.list();
    const found = everybody.filter((p) => least.lets(p) && (!needle || p.displayName?.toLowerCase().includes(needle) || p.participantId.toLowerCase().includes(needle)));
    const list = sorted(found, columns, sort, (p) => p.participantId);
    const narrowed = least.least === null ? "" : `, only who attended at least ${percent(least.least)}`;
    return [
      h("div", { class: "title", key: "title" }, h("h1", {}, "Attendance: ", text(session.title ?? session.roomName, "untitled", 120)), h("p", { class: "summary" }, sessionBadge(session), " ", h("a", { class: "button", href: to("session", sessionId) }, "Timeline"))),
      totals(everybody),
      filters(),
      h("p", { class: "printed", key: "printed" }, `Session ${flatText(sessionId)}, printed ${new Date().toLocaleString()} (local times). Sorted by ${columns.find((c) => c.id === sort.by)?.label ?? "first join"}${narrowed}; as known at ${clock(Date.now())}.`),
      state({ error: reading.error, retry: load, empty: list.length ? null : everybody.length ? "No matching participants." : "Nobody was in this session." }),
      list.length ? table({ caption: "Attendance sheet", columns, rows: list, key: (p) => p.participantId, sort, limit, memo: rows, onSort: sort.click, onMore: (n) => {
        limit = n;
        draw();
      } }) : null,
      everybody.length ? h("p", { class: "note print-hide", key: "say" }, "Choose a participant to see why the percentage is what it is: when they were there, and which facts came late. Facts of all: ",
        h("a", { href: `${to("session", sessionId)}?records=open&late=true` }, "what came late in this session"), ".") : null,
    ];
  }

  const reload = () => {
    people.all();
    load();
  };
  load();
  return { title: () => `Attendance: ${flatText(session?.title ?? sessionId)}`, render, changed, reload };
}
