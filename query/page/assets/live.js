// Live: the meetings that run now.

import { all, get, id } from "./api.js";
import { h, memo } from "./dom.js";
import { count, millis } from "./format.js";
import { loader, unescaped } from "./refresh.js";
import { FLAGS, badge, csv, elapsed, field, flags, ident, recordingBadge, sessionBadge, sorted, sorting, state, table, text, to, when } from "./ui.js";

const SINGLES = 24;     // more changed sessions than this are fetched as one list

const ACTIVE = new Set(["INVOKED", "RECORDING", "PAUSED", "UPLOADING"]);

export function live({ params, draw, set, signal }) {
  const sessions = new Map();
  const streams = new Map();      // meeting id → livestream that is LIVE
  const dirty = new Set();
  const rows = memo();
  let more = false;               // more exist than are listed
  let whole = true;               // the next load is of the list
  let at = 0;                     // sequence that the next answer must hold
  let limit = 200;
  const filter = {
    q: params.get("q") ?? "",
    stale: params.get("stale") === "true",
    recording: params.get("recording") === "true",
    min: Number(params.get("min") ?? 0),
  };
  const sort = sorting({ params, set }, "-startedAt");

  const reading = loader(async () => {
    const ids = [...dirty];
    const asList = whole || ids.length > SINGLES;
    const wanted = at;
    dirty.clear();
    whole = false;
    if (asList) await loadList(wanted);
    else await Promise.all(ids.map((s) => loadOne(s, wanted)));
  }, { draw, signal, rest: 40, failed: (err) => {
    whole = true;
    return err;
  } });
  const load = reading.load;

  async function loadList(sequence) {
    const read = (path, p) => all(path, p, { signal });
    const [list, lives] = await Promise.all([
      read("/v1/meetings/live", { stale: "true", minSequence: sequence || null }),
      read("/v1/livestreams", {}).catch(() => ({ items: [] })),
    ]);
    const seen = new Set();
    more = list.more;
    for (const s of list.items) {
      seen.add(s.sessionId);
      keep(s);
    }
    for (const s of sessions.keys()) if (!seen.has(s)) sessions.delete(s);
    streams.clear();
    for (const l of lives.items) keepStream(l);
  }

  async function loadOne(sessionId, sequence) {
    try {
      const { body } = await get(`/v1/sessions/${id(sessionId)}`, { minSequence: sequence || null, wait: "5s" }, { signal });
      if (body.status === "LIVE") keep(body);
      else sessions.delete(sessionId);
    } catch (err) {
      if (err.status === 404) sessions.delete(sessionId);
      else throw err;
    }
  }

  // keep leaves an equal document alone, so that its row is not drawn again.
  function keep(s) {
    const had = sessions.get(s.sessionId);
    const now = JSON.stringify(s);
    if (had?.json !== now) sessions.set(s.sessionId, { ...s, json: now });
  }

  function keepStream(l) {
    if (l.meetingId && l.status === "LIVE") streams.set(l.meetingId, l);
    else for (const [m, had] of streams) if (had.streamId === l.streamId) streams.delete(m);
  }

  async function follow(view, key) {
    const known = unescaped(key);
    if (known === null) return void (whole = true);
    if (view === "recordings") {
      const { body } = await get(`/v1/recordings/${id(known)}`, null, { signal });
      if (sessions.has(body.sessionId)) dirty.add(body.sessionId);
    } else {
      const { body } = await get(`/v1/livestreams/${id(known)}`, null, { signal });
      keepStream(body);
    }
  }

  function changed(changes) {
    const others = [];
    for (const c of changes) {
      if (c.view === "sessions") {
        const known = unescaped(c.key.slice(c.key.indexOf(".") + 1));
        if (known === null) whole = true;
        else dirty.add(known);
        at = Math.max(at, c.sequence);
      } else if (c.view === "recordings" || c.view === "livestreams") others.push(c);
    }
    if (dirty.size || whole) load();
    if (others.length > SINGLES) {
      whole = true;
      load();
    } else if (others.length) Promise.all(others.map((c) => follow(c.view, c.key))).catch(() => (whole = true)).then(() => (dirty.size || whole ? load() : draw()));
  }

  const columns = [
    { id: "title", label: "Meeting", sort: (s) => (s.title ?? s.roomName ?? "").toLowerCase(), cell: (s) => [h("a", { class: "main", href: to("session", s.sessionId) }, text(s.title ?? s.roomName, "untitled", 80)), h("span", { class: "sub" }, ident(s.sessionId))] },
    { id: "organizer", label: "Organizer", sort: (s) => (s.organizer?.name ?? s.organizer?.id ?? "").toLowerCase(), cell: (s) => text(s.organizer?.name ?? s.organizer?.id, "–", 60) },
    { id: "startedAt", label: "Started", sort: (s) => millis(s.startedAt), cell: (s) => when(s.startedAt) },
    { id: "elapsed", label: "Elapsed", num: true, sort: (s) => -millis(s.startedAt), cell: (s) => elapsed(millis(s.startedAt)) },
    { id: "liveParticipants", label: "Present", num: true, sort: (s) => s.liveParticipants, cell: (s) => h("strong", {}, count(s.liveParticipants)) },
    { id: "maxConcurrentParticipants", label: "Peak", num: true, sort: (s) => s.maxConcurrentParticipants, cell: (s) => count(s.maxConcurrentParticipants) },
    { id: "uniqueParticipants", label: "Participants", num: true, sort: (s) => s.uniqueParticipants, cell: (s) => count(s.uniqueParticipants) },
    { id: "badges", label: "Recording / streaming", cell: (s) => h("span", { class: "badges", "data-none": "–" }, s.stale ? sessionBadge(s) : null, (s.recordings ?? []).slice(0, 3).map((r) => h("span", { key: r.recordingId, title: "recording" }, recordingBadge(r))), streams.has(s.meetingId) ? badge("air", "on air", "livestream is LIVE") : null) },
    { id: "lastEventAt", label: "Last event", sort: (s) => millis(s.lastEventAt), cell: (s) => when(s.lastEventAt) },
    { id: "flags", label: "Flags", help: FLAGS, sort: (s) => s.anomalies.length, cell: (s) => flags(s) },
  ];

  function matching() {
    const q = filter.q.trim().toLowerCase();
    return [...sessions.values()].filter((s) => (filter.stale || !s.stale) && s.liveParticipants >= filter.min &&
      (!filter.recording || (s.recordings ?? []).some((r) => ACTIVE.has(r.status))) &&
      (!q || [s.title, s.roomName, s.sessionId, s.meetingId, s.organizer?.name, s.organizer?.id].some((v) => v?.toLowerCase().includes(q))));
  }

  const change = (values, address) => {
    Object.assign(filter, values);
    set(address);
  };

  function render() {
    const found = matching();
    const list = sorted(found, columns, sort, (s) => s.sessionId);
    const running = [...sessions.values()].filter((s) => !s.stale);
    const stale = sessions.size - running.length;
    const people = running.reduce((n, s) => n + s.liveParticipants, 0);
    return [
      h("div", { class: "title", key: "title" }, h("h1", {}, "Live"), h("p", { class: "summary" }, reading.loaded ? [h("strong", { id: "live-count" }, count(running.length)), running.length === 1 ? " meeting, " : " meetings, ", h("strong", {}, count(people)), " present", stale ? `, ${count(stale)} stale` : ""] : "")),
      h("form", { class: "filters", key: "filters", role: "search", onsubmit: (e) => e.preventDefault() },
        field("Search", h("input", { type: "search", value: filter.q, placeholder: "title, id, organizer", oninput: (e) => change({ q: e.currentTarget.value }, { q: e.currentTarget.value }) })),
        field("At least present", h("input", { type: "number", min: "0", value: filter.min || "", oninput: (e) => change({ min: Number(e.currentTarget.value) }, { min: e.currentTarget.value }) })),
        h("label", { class: "check", key: "recording" }, h("input", { type: "checkbox", checked: filter.recording, onchange: (e) => change({ recording: e.currentTarget.checked }, { recording: e.currentTarget.checked ? "true" : null }) }), "Recording only"),
        h("label", { class: "check", key: "stale" }, h("input", { type: "checkbox", checked: filter.stale, onchange: (e) => change({ stale: e.currentTarget.checked }, { stale: e.currentTarget.checked ? "true" : null }) }), "Include stale"),
        csv("/v1/meetings/live", { stale: filter.stale ? "true" : null })),
      state({ loading: !reading.loaded, error: reading.error, retry: again, empty: reading.loaded && !list.length ? emptyText(found) : null }),
      list.length ? table({
        caption: "Live meetings", columns, rows: list, key: (s) => s.sessionId, sort, limit, memo: rows, inputs: (s) => [streams.has(s.meetingId)],
        onSort: sort.click,
        onMore: (n) => {
          limit = n;
          draw();
        },
        rowClass: (s) => (s.stale ? "stale" : null),
      }) : null,
      more ? h("p", { class: "note warn", key: "cap" }, `▲ Only the latest ${count(sessions.size)} live meetings are listed and counted here.`) : null,
    ];
  }

  function emptyText() {
    if (!sessions.size) return "No meeting is live. One that starts appears here by itself.";
    return `None of ${count(sessions.size)} live meetings match the filter.`;
  }

  function again() {
    whole = true;
    load();
  }

  again();
  return { title: () => (sessions.size ? `(${sessions.size}) Live` : "Live"), render, changed, reload: again };
}
