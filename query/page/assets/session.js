// Session: one live instance of a meeting, now or as of any moment.

import { all, get, id } from "./api.js";
import { axis, bars, concurrency, scale, steps } from "./chart.js";
import { h, memo } from "./dom.js";
import { bytes, clock, count, duration, flatText, millis } from "./format.js";
import { rawRecords } from "./records.js";
import { loader } from "./refresh.js";
import { roster } from "./roster.js";
import { badge, elapsed, figure, figures, files, flags, ident, outside, recordingBadge, sessionBadge, state, text, to, until, when } from "./ui.js";

const ROWS = 100;

// The provider's reasons in words; any other is shown as it was sent.
const REASONS = { ALL_PARTICIPANTS_LEFT: "Everyone left", HOST_ENDED_MEETING: "Ended by the host", UNKNOWN: "Unknown" };
const ended = (reason) => (Object.hasOwn(REASONS, reason) ? REASONS[reason] : text(reason));

export function session({ args: [sessionId], params, draw, set, signal }) {
  const path = `/v1/sessions/${id(sessionId ?? "")}`;
  const rows = memo();
  const raw = rawRecords({ path, draw, signal });
  let now = null;                 // the session as it is
  let shown = null;               // the session as of the chosen moment
  const people = roster(sessionId ?? "", signal);
  let recordings = [];
  let gone = false;               // nothing at the chosen moment
  let asOf = Number(params.get("asOf")) || null;      // ms
  let at = 0;
  let limit = ROWS;

  const reading = loader(async () => {
    const p = { minSequence: at || null, wait: at ? "5s" : null };
    const moment = asOf ? { asOf: new Date(asOf).toISOString() } : {};
    const asked = asOf;
    const [current, then, recs] = await Promise.all([
      get(path, p, { signal }),
      asOf ? get(path, moment, { signal }).catch(absent) : null,
      all("/v1/recordings", { sessionId }, { signal, cap: 1000 }),
      people.load(p, moment).catch((err) => people.clear(absent(err))),
    ]);
    now = current.body;
    recordings = recs.items;
    if (asked === asOf) {
      gone = asOf !== null && !then;
      shown = asOf ? (then?.body ?? null) : now;
    }
  }, { draw, signal, rest: 40 });
  const load = reading.load;

  // A session is unknown before its first record.
  const absent = (err) => {
    if (err.status === 404 && asOf) return null;
    throw err;
  };

  function changed(changes) {
    let mine = false;
    for (const c of changes) {
      const key = c.view === "sessions" ? c.key.slice(c.key.indexOf(".") + 1) : c.key;
      if ((c.view === "sessions" || c.view === "artifacts") && isMine(key)) {
        mine = true;
        // The end gives everybody a percentage, and closes open connections.
        if (c.key.startsWith("ended.")) people.all();
      }
      else if (c.view === "attendance" && isMine(key.slice(0, key.indexOf(".")))) {
        mine = true;
        people.touch(key);
      }
      else if (c.view === "recordings" && (key.startsWith("h_") || recordings.some((r) => r.recordingId === key) || !recordings.length || now?.status === "LIVE")) mine = true;
      else continue;
      at = Math.max(at, c.sequence);
    }
    if (!mine) return;
    load();
    raw.changed(at);
  }

  // A hashed key may be this session's where its id needs escaping.
  const isMine = (key) => key === sessionId || (key.startsWith("h_") && !/^[A-Za-z0-9_-]{1,64}$/.test(sessionId));

  function totals(s) {
    const live = s.status === "LIVE";
    return figures(
      figure("Started", when(s.startedAt)),
      live ? figure("Elapsed", asOf ? duration((asOf - millis(s.startedAt)) / 1000) : elapsed(millis(s.startedAt))) : figure("Ended", when(s.endedAt)),
      live ? figure("Present", count(s.liveParticipants), "connections without an end") : figure("Duration", duration(s.durationSeconds)),
      figure("Peak", count(s.maxConcurrentParticipants), "most connections at one time"),
      figure("Participants", count(s.uniqueParticipants), "each person counted once"),
      figure("Connections", count(s.connections)),
      figure("Participant time", duration(s.participantSeconds), "sum of the connections' time"),
      live ? null : figure("End reason", ended(s.endReason)),
      figure("Last event", when(s.lastEventAt)),
    );
  }

  function timeline(s) {
    const list = people.list();
    const nowMs = asOf ?? Date.now();
    // A live chart grows by steps of 5 s and its open bars run to its edge, so that not all bars
    // are redrawn for each change.
    const range = scale(s, list, s.status === "LIVE" ? Math.ceil(nowMs / 5000) * 5000 : nowMs);
    const open = range.to;
    const line = steps(s, list, open);
    return [
      h("section", { key: "steps", "aria-labelledby": "steps-h" }, h("h2", { id: "steps-h" }, "Attendance over time"), list.length ? concurrency(line, range) : h("p", { class: "note" }, "Nobody attended.")),
      h("section", { key: "bars", "aria-labelledby": "bars-h" }, h("h2", { id: "bars-h" }, "Participant timeline"),
        h("p", { class: "legend" }, h("span", {}, h("span", { class: "bar left" }), " left"), h("span", {}, h("span", { class: "bar end" }), " closed by the meeting's end"), h("span", {}, h("span", { class: "bar open" }), " still in")),
        list.length ? h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Connections over time" }, h("table", { class: "gantt" },
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Participant"), h("th", { scope: "col", class: "wide" }, h("span", { class: "sr" }, "Connections"), axis(range)))),
          h("tbody", {}, list.slice(0, limit).map((p) => rows.row(p.participantId, [p, range.from, range.to, p.present ? open : 0], () => h("tr", { key: p.participantId },
            h("th", { scope: "row" }, h("a", { href: to("person", p.participantId) }, text(p.displayName || p.participantId, "–", 60))), h("td", { class: "wide" }, bars(p, range, open)))))))) : null,
        list.length > limit ? h("p", { class: "more" }, `${count(limit)} of ${count(list.length)} participants shown. `, h("button", { type: "button", onclick: () => more(limit + ROWS) }, "Show 100 more"), " ", h("button", { type: "button", onclick: () => more(list.length) }, "Show all")) : null),
    ];
  }

  const more = (n) => {
    limit = n;
    draw();
  };

  function moment() {
    const from = millis(now.startedAt) ?? Date.now();
    const last = Math.max(from + 1000, (now.status === "LIVE" ? Date.now() : millis(now.lastEventAt)) + 1000);
    const first = Math.min(from, asOf ?? from) - 1000;
    const value = asOf ?? last;
    const pick = (ms) => {
      asOf = ms === null || ms >= last ? null : Math.round(ms);
      set({ asOf });
      people.all();
      load();
    };
    return h("section", { class: "moment", key: "moment", "aria-labelledby": "moment-h" }, h("h2", { id: "moment-h" }, "As of"),
      h("div", { class: "slide" },
        h("button", { type: "button", onclick: () => pick(raw.before(value) ?? first), "aria-label": "one record back" }, "◀"),
        h("input", { type: "range", id: "asof", min: first, max: last, step: Math.max(1, Math.min(1000, Math.round((last - first) / 500))), value, "aria-label": "as of", "aria-valuetext": asOf ? clock(asOf) : "now", oninput: (e) => pick(Number(e.currentTarget.value)) }),
        h("button", { type: "button", onclick: () => pick(raw.after(value)), "aria-label": "one record on", disabled: asOf === null }, "▶"),
        h("output", { for: "asof" }, asOf ? h("span", { class: "then" }, when(new Date(asOf).toISOString())) : "now"),
        h("button", { type: "button", disabled: asOf === null, onclick: () => pick(null) }, "Back to now")));
  }

  function recordingsPart() {
    return h("section", { key: "recordings", "aria-labelledby": "rec-h" }, h("h2", { id: "rec-h" }, "Recordings"),
      recordings.length ? h("ul", { class: "cards" }, recordings.map((r) => h("li", { key: r.recordingId },
        h("p", {}, recordingBadge(r), r.conflict ? badge("warn", "conflict", "ERRORED and UPLOADED were both seen") : null, " ", ident(r.recordingId)),
        h("ol", { class: "stages" }, r.history.map((e) => h("li", { key: e.status }, text(e.status, "?", 24), " ", when(e.at)))),
        h("p", {}, r.durationSeconds !== null ? `${duration(r.durationSeconds)}, ` : "", bytes(r.fileSizeBytes), ", link: ", r.files?.length ? "one file per participant" : outside(r.downloadUrl, "download"), r.downloadUrlExpiresAt ? [", ", until(millis(r.downloadUrlExpiresAt))] : null),
        r.files?.length ? files(r) : null,
        r.error ? h("p", { class: "bad" }, "✖ ", text(r.error, "", 400)) : null))) : h("p", { class: "note" }, "This session has no recordings."));
  }

  function artifactsPart() {
    const a = now.artifacts;
    const list = ["chat", "transcript", "summary"].filter((k) => a?.[k]);
    return h("section", { key: "artifacts", "aria-labelledby": "art-h" }, h("h2", { id: "art-h" }, "Artifacts"),
      list.length ? h("ul", { class: "cards" }, list.map((k) => h("li", { key: k }, h("strong", {}, k), " ", outside(a[k].url, "download"), " ", a[k].expiresAt ? until(millis(a[k].expiresAt)) : "no expiry known"))) : h("p", { class: "note" }, "This session has no chat, transcript or summary."));
  }

  function render() {
    if (!now) {
      if (reading.error?.status === 404) return [h("h1", { key: "h" }, "Session"), state({ empty: "No such session. If it has not been seen yet, this page shows it as soon as it is." })];
      return [h("h1", { key: "h" }, "Session"), state({ loading: !reading.error, error: reading.error, retry: load })];
    }
    const s = shown;
    return [
      h("div", { class: "title", key: "title" }, h("h1", {}, text(now.title ?? now.roomName, "untitled", 120)), h("p", { class: "summary" }, sessionBadge(s ?? now), " ", h("a", { class: "button", href: to("attendance", sessionId) }, "Attendance sheet"))),
      h("p", { class: "ids", key: "ids" }, "session ", ident(now.sessionId), " meeting ", ident(now.meetingId), " organizer ", text(now.organizer?.name ?? now.organizer?.id), " flags ", flags(s ?? now)),
      now.supersededBy ? h("p", { class: "note warn", key: "next" }, "▲ The meeting continues in a later session: ", h("a", { href: to("session", now.supersededBy) }, flatText(now.supersededBy))) : null,
      now.degradedSince ? h("p", { class: "note bad", key: "degraded" }, "✖ A record was set aside and is missing here, since ", when(now.degradedSince)) : null,
      state({ error: reading.error, retry: load }),
      moment(),
      gone ? h("p", { class: "note", key: "gone" }, "Nothing was known about this session at that time.") : null,
      s ? h("section", { key: "totals", "aria-label": "Totals" }, totals(s)) : null,
      s ? timeline(s) : null,
      recordingsPart(),
      artifactsPart(),
      raw.render(),
    ];
  }

  // Bars of who is in grow with the clock.
  const growing = setInterval(() => now?.status === "LIVE" && !asOf && !document.hidden && draw(), 5000);
  signal.addEventListener("abort", () => clearInterval(growing));
  const reload = () => {
    people.all();
    load();
  };
  load();
  return { title: () => flatText(now?.title ?? now?.roomName ?? "Session"), render, changed, reload };
}
