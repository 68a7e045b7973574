// Recordings: how far each got, which are stuck, whose links expire, what failed.

import { all, get, id } from "./api.js";
import { h, memo } from "./dom.js";
import { bytes, count, duration, flatText, millis } from "./format.js";
import { loader, unescaped } from "./refresh.js";
import { titles } from "./titles.js";
import { badge, csv, elapsed, expires, field, files, ident, recordingBadge, select, short, sorted, sorting, state, table, text, to, when } from "./ui.js";

const CAP = 5000;
const SINGLES = 8;     // more changed recordings than this are fetched as one list

// The provider's stages, in order; a recording's history says which it reached.
const STAGES = ["INVOKED", "RECORDING", "UPLOADING", "UPLOADED"];
const FINAL = new Set(["UPLOADED", "ERRORED"]);
const TABS = [["all", "All"], ["stuck", "Stuck"], ["expiring", "Link expiring"], ["errors", "Errors"]];

export function recordings({ params, draw, set, signal }) {
  const rows = memo();
  const names = titles({ draw, signal });
  let items = [];
  let more = false;
  let at = 0;
  let whole = true;
  const dirty = new Set();
  let limit = 100;
  let tab = TABS.some(([name]) => name === params.get("tab")) ? params.get("tab") : "all";
  let stuckFor = Number(params.get("stuckFor") ?? 600);
  let within = Number(params.get("within") ?? 86400);
  const sort = sorting({ params, set }, "-lastEventAt");

  const reading = loader(async () => {
    const changed = [...dirty];
    const few = !whole && changed.length <= SINGLES;
    const p = { minSequence: at || null, wait: at ? "5s" : null };
    dirty.clear();
    whole = false;
    const list = few ? await some(changed, p) : await all("/v1/recordings", p, { signal, cap: CAP });
    const known = new Map(items.map((r) => [r.recordingId, r]));
    items = list.items.map((r) => (known.has(r.recordingId) && JSON.stringify(known.get(r.recordingId)) === JSON.stringify(r) ? known.get(r.recordingId) : r));
    more = list.more;
  }, { draw, signal, rest: 80, failed: (err) => {
    whole = true;
    return err;
  } });
  const load = reading.load;

  // some is the list with only the changed recordings fetched again.
  async function some(changed, p) {
    const found = await Promise.all(changed.map((r) => get(`/v1/recordings/${id(r)}`, p, { signal }).then((x) => x.body, (err) => {
      if (err.status === 404) return null;
      throw err;
    })));
    return { items: [...items.filter((r) => !changed.includes(r.recordingId)), ...found.filter(Boolean)], more };
  }

  const reload = () => {
    whole = true;
    load();
  };

  const stuck = (r, now) => !FINAL.has(r.status) && now - millis(r.lastEventAt) >= stuckFor * 1000;
  const expiring = (r, now) => {
    const end = millis(r.downloadUrlExpiresAt);
    return end !== null && end > now && end - now <= within * 1000;
  };
  const chosen = {
    all: () => true,
    stuck,
    expiring,
    errors: (r) => r.status === "ERRORED" || r.conflict || r.error,
  };

  function sessionOf(r) {
    if (!r.sessionId) return text(null);
    const title = names.of(r.sessionId);
    return [h("a", { href: to("session", r.sessionId) }, title ? text(title, "–", 80) : h("bdi", {}, short(r.sessionId))), title ? h("span", { class: "sub" }, ident(r.sessionId)) : null];
  }

  // fileName keeps a long name's beginning and end; whole on hover.
  const fileName = (s) => (s?.length > 24 ? h("bdi", { class: "nowrap", title: flatText(s, 300) }, `${flatText(s.slice(0, 8))}…${flatText(s.slice(-10))}`) : text(s, "no file yet"));

  // finished is when a recording got to its last state, or how long it has not.
  function finished(r) {
    if (FINAL.has(r.status)) return when(r.history.find((e) => e.status === r.status)?.at ?? r.lastEventAt);
    return [h("span", { class: "sub" }, "not yet; in this state for"), elapsed(millis(r.lastEventAt))];
  }

  const columns = [
    { id: "status", label: "Status", sort: (r) => r.status, cell: (r) => h("span", { class: "badges" }, recordingBadge(r), r.conflict ? badge("warn", "conflict", "both ERRORED and UPLOADED were received") : null) },
    { id: "recordingId", label: "Recording", cell: (r) => [fileName(r.outputFileName), h("span", { class: "sub" }, ident(r.recordingId))] },
    { id: "session", label: "Session", sort: (r) => names.of(r.sessionId)?.toLowerCase(), cell: sessionOf },
    { id: "startedAt", label: "Started", sort: (r) => millis(r.startedAt), cell: (r) => when(r.startedAt) },
    { id: "lastEventAt", label: "Finished", help: "When the file was there, or the recording failed. Before that: how long no event of it was received.", sort: (r) => millis(r.lastEventAt), cell: finished },
    { id: "durationSeconds", label: "Duration", num: true, sort: (r) => r.durationSeconds, cell: (r) => duration(r.durationSeconds) },
    { id: "fileSizeBytes", label: "Size", num: true, sort: (r) => r.fileSizeBytes, cell: (r) => bytes(r.fileSizeBytes) },
    { id: "link", label: "Link", sort: (r) => millis(r.downloadUrlExpiresAt), cell: (r) => [files(r), expires(r.downloadUrlExpiresAt)] },
    { id: "error", label: "Error", cell: (r) => (r.error ? h("span", { class: "bad" }, "✖ ", text(r.error, "", 120)) : text(null)) },
  ];

  function funnel() {
    const reached = (stage) => items.filter((r) => r.status === stage || r.history.some((e) => STAGES.indexOf(e.status) >= STAGES.indexOf(stage))).length;
    const inNow = (s) => items.filter((r) => r.status === s).length;
    const others = items.filter((r) => !STAGES.includes(r.status) && r.status !== "PAUSED" && r.status !== "ERRORED").length;
    const bar = (label, n, now, kind) => h("tr", { key: label }, h("th", { scope: "row" }, label),
      h("td", { class: "wide" }, h("span", { class: `funnel ${kind}`, style: { width: `${items.length ? (n / items.length) * 100 : 0}%` }, "aria-hidden": "true" })), h("td", { class: "num" }, count(n)), h("td", { class: "num" }, count(now)));
    return h("section", { key: "funnel", "aria-labelledby": "funnel-h" }, h("h2", { id: "funnel-h" }, "How far they got"),
      h("table", { class: "funnels" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Stage"), h("td", {}), h("th", { scope: "col", class: "num" }, "Reached"), h("th", { scope: "col", class: "num" }, "Currently"))),
        h("tbody", {}, STAGES.map((s) => bar(s, reached(s), inNow(s), "ok")), bar("PAUSED", inNow("PAUSED"), inNow("PAUSED"), "held"), bar("ERRORED", inNow("ERRORED"), inNow("ERRORED"), "failed"), others ? bar("other", others, others, "held") : null)),
      more ? h("p", { class: "note" }, `Counted over the latest ${count(CAP)} recordings.`) : null);
  }

  function render() {
    const now = Date.now();
    const list = sorted(items.filter((r) => chosen[tab](r, now)), columns, sort, (r) => r.recordingId);
    names.want(list.slice(0, limit));
    const pick = (name) => {
      tab = name;
      limit = 100;
      set({ tab });
    };
    return [
      h("div", { class: "title", key: "title" }, h("h1", {}, "Recordings"), h("p", { class: "summary" }, reading.loaded ? `${count(items.length)} known` : "")),
      items.length ? funnel() : null,
      h("div", { class: "filters", key: "tabs" },
        h("div", { class: "tabs", role: "group", "aria-label": "Which recordings" }, TABS.map(([name, label]) => h("button", { key: name, type: "button", "aria-pressed": String(tab === name), onclick: () => pick(name) }, label, " ", h("span", { class: "n" }, count(items.filter((r) => chosen[name](r, now)).length))))),
        tab === "stuck" ? field("No event for", select(String(stuckFor), [["10", "10 seconds"], ["60", "1 minute"], ["600", "10 minutes"], ["3600", "1 hour"], ["86400", "1 day"]], (v) => {
          stuckFor = Number(v);
          set({ stuckFor: v });
        })) : null,
        tab === "expiring" ? field("Within", select(String(within), [["3600", "1 hour"], ["86400", "1 day"], ["259200", "3 days"], ["604800", "7 days"]], (v) => {
          within = Number(v);
          set({ within: v });
        })) : null,
        csv("/v1/recordings", tab === "stuck" ? { stuckFor: `${stuckFor}s` } : tab === "expiring" ? { expiresWithin: `${within}s` } : tab === "errors" ? { status: "ERRORED" } : {})),
      state({ loading: !reading.loaded, error: reading.error, retry: load, empty: reading.loaded && !list.length ? (items.length ? "No matching recordings." : "No recordings yet.") : null }),
      list.length ? table({ caption: "Recordings", columns, rows: list, key: (r) => r.recordingId, sort, limit, memo: rows, inputs: (r) => [names.of(r.sessionId)], onSort: sort.click, onMore: (n) => {
        limit = n;
        draw();
      } }) : null,
    ];
  }

  function changed(changes) {
    for (const c of changes) {
      if (c.view !== "recordings") continue;
      at = Math.max(at, c.sequence);
      const known = unescaped(c.key);
      if (known === null) whole = true;
      else dirty.add(known);
      load();
    }
  }

  load();
  return { title: () => "Recordings", render, changed, reload };
}
