// The raw records of a session: what the provider sent, when it was received, how late.

import { all } from "./api.js";
import { h } from "./dom.js";
import { count, millis } from "./format.js";
import { loader } from "./refresh.js";
import { field, ident, select, state, table, text, when } from "./ui.js";

const CAP = 5000;

// happened is the time inside a record that says when it happened.
function happened({ type, body }) {
  switch (type) {
    case "meeting.started": return body?.meeting?.startedAt;
    case "meeting.ended": return body?.meeting?.endedAt;
    case "meeting.participantJoined": return body?.participant?.joinedAt;
    case "meeting.participantLeft": return body?.participant?.leftAt;
    case "meeting.chatSynced": return body?.endedAt;
    default: return null;
  }
}

function delay(r) {
  const at = millis(happened(r));
  const got = millis(r.receivedAt);
  return at === null || got === null ? null : (got - at) / 1000;
}

const seconds = (d) => (d === null ? h("span", { class: "none" }, "–") : h("span", { class: d > 60 ? "late" : null, title: "received minus happened" }, d > 60 ? "▲ " : "", `${d < 10 ? d.toFixed(1) : Math.round(d)} s`));

export function rawRecords({ path, draw, signal }) {
  let items = [];
  let more = false;
  let open = false;
  let type = "";
  let limit = 50;
  let at = 0;

  const reading = loader(async () => {
    const { items: list, more: rest } = await all(`${path}/events`, { minSequence: at || null }, { signal, cap: CAP });
    items = list;
    more = rest;
  }, { draw, signal, rest: 500 });
  const load = reading.load;

  const columns = [
    { id: "sequence", label: "Sequence", num: true, cell: (r) => count(r.sequence) },
    { id: "receivedAt", label: "Received", cell: (r) => when(r.receivedAt) },
    { id: "type", label: "Type", cell: (r) => text(r.type, "unreadable", 60) },
    { id: "delay", label: "Delay", num: true, cell: (r) => seconds(delay(r)) },
    { id: "source", label: "Source", cell: (r) => text(r.source) },
    { id: "eventId", label: "Event id", cell: (r) => ident(r.eventId) },
    { id: "body", label: "Body", cell: (r) => h("details", {}, h("summary", {}, "show"), h("pre", {}, text(r.body === null ? r.bodyBase64 : JSON.stringify(r.body, null, 1), "", 20000))) },
  ];

  function render() {
    const types = [...new Set(items.map((r) => r.type ?? ""))].sort();
    const rows = items.filter((r) => !type || r.type === type);
    return h("section", { key: "raw", "aria-labelledby": "raw-h" }, h("h2", { id: "raw-h" }, "Raw records"),
      h("details", { open, ontoggle: (e) => toggle(e.currentTarget.open) }, h("summary", {}, "What the provider sent, in the log's order"),
        open ? [
          h("div", { class: "filters", key: "f" }, field("Type", select(type, [["", "all types"], ...types.map((t) => [t, t])], (v) => {
            type = v;
            draw();
          }))),
          state({ loading: !reading.loaded, error: reading.error, retry: load, empty: reading.loaded && !rows.length ? "No records." : null }),
          rows.length ? table({ caption: "Raw records", columns, rows, key: (r) => r.eventId, limit, onMore: (n) => {
            limit = n;
            draw();
          } }) : null,
          more ? h("p", { class: "note", key: "cap" }, `Only the first ${count(CAP)} records are shown.`) : null,
        ] : null));
  }

  function toggle(now) {
    if (open === now) return;
    open = now;
    if (open) load();
    draw();
  }

  // before and after step from record to record by received time; asked for
  // before the list is there, they load it.
  function step(ms, found) {
    if (!reading.loaded) load();
    return found(items.map((r) => Math.ceil(millis(r.receivedAt))).sort((a, b) => a - b), ms);
  }

  return {
    render,
    changed: (sequence) => {
      at = sequence;
      if (open) load();
    },
    before: (ms) => step(ms, (list) => list.findLast((t) => t < ms) ?? null),
    after: (ms) => step(ms, (list) => list.find((t) => t > ms) ?? null),
  };
}
