// Session: one live instance of a meeting, now or as of any moment.

import { all, get, id } from "./api.js";
import { axis, bars, concurrency, scale, steps } from "./chart.js";
import { h, memo } from "./dom.js";
import { bytes, count, duration, flatText, millis } from "./format.js";
import { moment } from "./moment.js";
import { rawRecords } from "./records.js";
import { loader } from "./refresh.js";
import { roster } from "./roster.js";
import { FLAGS, badge, copyLink, elapsed, expires, figure, figures, files, flags, help, ident, outside, recordingBadge, sessionBadge, state, text, to, when } from "./ui.js";

const ROWS = 100;

// The provider's reasons in words; any other is shown as it was sent.
const REASONS = { __proto__: null, ALL_PARTICIPANTS_LEFT: "Everyone left", HOST_ENDED_MEETING: "Ended by the host", UNKNOWN: "Unknown" };
const ended = (reason) => REASONS[reason] ?? text(reason);

export function session({ args: [sessionId], params, draw, set, signal }) {
  const path = `/v1/sessions/${id(sessionId ?? "")}`;
  const rows = memo();
  const raw = rawRecords({ path, params, set, draw, signal, people: () => people.list() });
  const then = moment({ path, params, set, signal, onPick: () => {
    people.all();
    load();
  } });
  let now = null;                 // the session as it is
  let shown = null;               // the session as of the chosen moment
  const people = roster(sessionId ?? "", signal);
  let recordings = [];
  let at = 0;
  let limit = ROWS;

  const reading = loader(async () => {
    const p = { minSequence: at || null, wait: at ? "5s" : null };
    await then.ready();
    const asOf = then.at();
    const past = asOf ? { asOf: new Date(asOf).toISOString() } : {};
    const [current, was, recs] = await Promise.all([
      get(path, p, { signal }),
      asOf && !then.before() ? get(path, past, { signal }) : null,
      all("/v1/recordings", { sessionId }, { signal, cap: 1000 }),
      then.before() ? people.clear() : people.load(p, past),
    ]);
    now = current.body;
    recordings = recs.items;
    if (asOf === then.at()) shown = asOf ? (was?.body ?? null) : now;
  }, { draw, signal, rest: 40 });
  const load = reading.load;

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
    then.changed();
    raw.changed(at);
  }

  // A hashed key may be this session's where its id needs escaping.
  const isMine = (key) => key === sessionId || (key.startsWith("h_") && !/^[A-Za-z0-9_-]{1,64}$/.test(sessionId));

  function totals(s) {
    const live = s.status === "LIVE";
    return figures(
      figure("Started", when(s.startedAt)),
      live ? figure("Elapsed", then.at() ? duration((then.at() - millis(s.startedAt)) / 1000) : elapsed(millis(s.startedAt))) : figure("Ended", when(s.endedAt)),
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
    const nowMs = then.at() ?? Date.now();
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
            h("th", { scope: "row" }, h("a", { href: to("attendance", sessionId, p.participantId) }, text(p.displayName || p.participantId, "–", 60))), h("td", { class: "wide" }, bars(p, range, open)))))))) : null,
        list.length > limit ? h("p", { class: "more" }, `${count(limit)} of ${count(list.length)} participants shown. `, h("button", { type: "button", onclick: () => more(limit + ROWS) }, "Show 100 more"), " ", h("button", { type: "button", onclick: () => more(list.length) }, "Show all")) : null),
    ];
  }

  const more = (n) => {
    limit = n;
    draw();
  };

  // recordingsPart has each recording's details now, or what was known of it at the chosen moment.
  function recordingsPart() {
    if (then.at()) return recordingsThen(shown?.recordings ?? []);
    return h("section", { key: "recordings", "aria-labelledby": "rec-h" }, h("h2", { id: "rec-h" }, "Recordings"),
      recordings.length ? h("ul", { class: "cards" }, recordings.map((r) => h("li", { key: r.recordingId },
        h("p", {}, recordingBadge(r), r.conflict ? badge("warn", "conflict", "ERRORED and UPLOADED were both seen") : null, " ", ident(r.recordingId)),
        h("ol", { class: "stages" }, r.history.map((e) => h("li", { key: e.status }, text(e.status, "?", 24), " ", when(e.at)))),
        h("p", {}, r.durationSeconds !== null ? `${duration(r.durationSeconds)}, ` : "", bytes(r.fileSizeBytes), ", link: ", r.files?.length ? "one file per participant" : outside(r.downloadUrl, "download"), expires(r.downloadUrlExpiresAt)),
        r.files?.length ? files(r) : null,
        r.error ? h("p", { class: "bad" }, "✖ ", text(r.error, "", 400)) : null))) : h("p", { class: "note" }, "This session has no recordings."));
  }

  const recordingsThen = (list) => h("section", { key: "recordings", "aria-labelledby": "rec-h" }, h("h2", { id: "rec-h" }, "Recordings"),
    list.length ? h("ul", { class: "cards" }, list.map((r) => h("li", { key: r.recordingId }, recordingBadge(r), " ", ident(r.recordingId)))) : h("p", { class: "note" }, "No recording was known then."));

  function artifactsPart() {
    const a = shown?.artifacts;
    const list = ["chat", "transcript", "summary"].filter((k) => a?.[k]);
    return h("section", { key: "artifacts", "aria-labelledby": "art-h" }, h("h2", { id: "art-h" }, "Artifacts ", help("Artifacts", "Files that the provider makes from a session: its chat, its transcript, and a summary. Their links expire.")),
      list.length ? h("ul", { class: "cards" }, list.map((k) => h("li", { key: k }, h("strong", {}, k), " ", outside(a[k].url, "download"), expires(a[k].expiresAt)))) : h("p", { class: "note" }, "This session has no chat, transcript or summary."));
  }

  function render() {
    if (!now) {
      if (reading.error?.status === 404) return [h("h1", { key: "h" }, "Session"), state({ empty: "No such session. If it has not been seen yet, this page shows it as soon as it is." })];
      return [h("h1", { key: "h" }, "Session"), state({ loading: !reading.error, error: reading.error, retry: load })];
    }
    const s = shown;
    return [
      h("div", { class: "title", key: "title" }, h("h1", {}, text(now.title ?? now.roomName, "untitled", 120)), h("p", { class: "summary" }, sessionBadge(s ?? now), " ", h("a", { class: "button", href: to("attendance", sessionId) }, "Attendance sheet"), " ", copyLink())),
      h("p", { class: "ids", key: "ids" }, "session ", ident(now.sessionId), " meeting ", ident(now.meetingId), " organizer ", text(now.organizer?.name ?? now.organizer?.id), " flags ", flags(s ?? now), help("Flags", FLAGS)),
      now.supersededBy ? h("p", { class: "note warn", key: "next" }, "▲ The meeting continues in a later session: ", h("a", { href: to("session", now.supersededBy) }, flatText(now.supersededBy))) : null,
      now.degradedSince ? h("p", { class: "note bad", key: "degraded" }, "✖ A record was set aside and is missing here, since ", when(now.degradedSince)) : null,
      state({ error: reading.error, retry: load }),
      then.render(now),
      then.nothing(),
      s ? h("section", { key: "totals", "aria-label": "Totals" }, totals(s)) : null,
      s ? timeline(s) : null,
      recordingsPart(),
      artifactsPart(),
      raw.render(),
    ];
  }

  // Bars of who is in grow with the clock.
  const growing = setInterval(() => now?.status === "LIVE" && !then.at() && !document.hidden && draw(), 5000);
  signal.addEventListener("abort", () => clearInterval(growing));
  const reload = () => {
    people.all();
    load();
  };
  load();
  return { title: () => flatText(now?.title ?? now?.roomName ?? "Session"), render, changed, reload };
}
