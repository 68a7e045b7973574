// Livestreams: what is on air, what was, and the changes in between.

import { all } from "./api.js";
import { h } from "./dom.js";
import { count, duration, millis } from "./format.js";
import { loader } from "./refresh.js";
import { badge, csv, elapsed, ident, sorted, sorting, state, table, text, when } from "./ui.js";

const KINDS = { __proto__: null, LIVE: "good", ERRORED: "bad", OFFLINE: "idle" };
const CAP = 2000;
const LATEST = 12;

export function livestreams({ params, draw, set, signal }) {
  let items = [];
  let more = false;
  let at = 0;
  let limit = 100;
  const sort = sorting({ params, set }, "-last");

  const reading = loader(async () => {
    ({ items, more } = await all("/v1/livestreams", { minSequence: at || null, wait: at ? "5s" : null }, { signal, cap: CAP }));
  }, { draw, signal, rest: 80 });
  const load = reading.load;

  const last = (l) => l.transitions.at(-1)?.at;
  const columns = [
    { id: "status", label: "Status", sort: (l) => l.status, cell: (l) => badge(KINDS[l.status] ?? "info", text(l.status, "unknown", 24)) },
    { id: "streamId", label: "Stream", cell: (l) => ident(l.streamId) },
    { id: "meetingId", label: "Meeting", cell: (l) => ident(l.meetingId) },
    { id: "last", label: "Since", sort: (l) => millis(last(l)), cell: (l) => when(last(l)) },
    { id: "now", label: "On air now", num: true, cell: (l) => (l.status === "LIVE" ? elapsed(millis(last(l))) : h("span", { class: "none" }, "–")) },
    { id: "onAirSeconds", label: "On air before", num: true, sort: (l) => l.onAirSeconds, cell: (l) => duration(l.onAirSeconds) },
    { id: "transitions", label: "Changes", cell: (l) => h("details", {}, h("summary", {}, count(l.transitions.length)), l.transitions.length > LATEST ? h("p", {}, `the latest ${LATEST}`) : null, h("ol", {}, l.transitions.slice(-LATEST).map((t, i) => h("li", { key: `${t.at} ${i}` }, text(t.status, "?", 24), " ", when(t.at))))) },
  ];

  const render = () => [
    h("div", { class: "title", key: "title" }, h("h1", {}, "Livestreams"), h("p", { class: "summary" }, reading.loaded ? [h("strong", {}, count(items.filter((l) => l.status === "LIVE").length)), " on air, ", count(items.length), " known"] : "")),
    h("div", { class: "filters", key: "filters" }, csv("/v1/livestreams", {})),
    state({ loading: !reading.loaded, error: reading.error, retry: load, empty: reading.loaded && !items.length ? "No livestreams yet." : null }),
    items.length ? table({ caption: "Livestreams", columns, rows: sorted(items, columns, sort, (l) => l.streamId), key: (l) => l.streamId, sort, limit, onSort: sort.click, onMore: (n) => {
      limit = n;
      draw();
    } }) : null,
    more ? h("p", { class: "note", key: "cap" }, `${count(CAP)} livestreams are listed.`) : null,
  ];

  function changed(changes) {
    for (const c of changes) {
      if (c.view !== "livestreams") continue;
      at = Math.max(at, c.sequence);
      load();
    }
  }

  load();
  return { title: () => "Livestreams", render, changed, reload: load };
}
