// The raw records of a session: what the provider sent, whom it is about, when it
// was received, how late. What is chosen stands in the address.

import { all } from "./api.js";
import { h } from "./dom.js";
import { count } from "./format.js";
import { delay, isLate } from "./late.js";
import { loader } from "./refresh.js";
import { csv, field, ident, select, state, table, text, when } from "./ui.js";

const CAP = 5000;
const OFFERED = 500;    // people that the filter offers by name

// rawRecords is that section of a page. person: the records are those of this
// participant; else people() are who can be chosen.
export function rawRecords({ path, params, set, draw, signal, person = "", people = () => [] }) {
  const fixed = person !== "";
  const filter = { participantId: fixed ? person : (params.get("person") ?? ""), type: params.get("type") ?? "", late: params.get("late") === "true" };
  const types = new Set();
  let items = [];
  let more = false;
  let open = params.has("records");
  let unknown = "";         // what was typed and is nobody
  let limit = 50;
  let at = 0;

  const reading = loader(async () => {
    const { participantId, type } = filter;
    const { items: list, more: rest } = await all(`${path}/events`, { participantId, type, minSequence: at || null }, { signal, cap: CAP });
    if (participantId !== filter.participantId || type !== filter.type) return;
    items = list;
    more = rest;
    for (const r of list) if (r.type) types.add(r.type);
  }, { draw, signal, rest: 500 });
  const load = reading.load;

  const change = (values, address) => {
    Object.assign(filter, values);
    set(address);
    reading.now();
  };

  // choose takes an id, or a part of a name or id that only one person has.
  function choose(typed) {
    const wanted = typed.trim().toLowerCase();
    const found = people().filter((p) => p.participantId === typed.trim());
    const like = found.length ? found : people().filter((p) => wanted && `${p.displayName ?? ""}\n${p.participantId}`.toLowerCase().includes(wanted));
    unknown = wanted && like.length !== 1 ? (like.length ? `${count(like.length)} participants match “${typed.trim()}”: choose one of the list.` : `No participant matches “${typed.trim()}”.`) : "";
    if (unknown) return draw();
    const participantId = wanted ? like[0].participantId : "";
    change({ participantId }, { person: participantId });
  }

  // about is whom a record concerns.
  function about(r) {
    if (r.participantId) return [text(r.displayName || r.participantId, "–", 60), h("span", { class: "sub" }, ident(r.participantId))];
    const recording = r.type?.startsWith("recording.") ? (r.body?.recording?.recordingId ?? r.body?.recording?.id) : null;
    return typeof recording === "string" ? ["recording", h("span", { class: "sub" }, ident(recording))] : h("span", { class: "none" }, r.body === null ? "not known" : "the session");
  }

  const columns = [
    { id: "sequence", label: "Sequence", num: true, cell: (r) => count(r.sequence) },
    { id: "about", label: "About", cell: about },
    { id: "type", label: "Type", cell: (r) => text(r.type, "unreadable", 60) },
    { id: "receivedAt", label: "Received", cell: (r) => when(r.receivedAt) },
    { id: "delay", label: "Delay", num: true, help: "Received minus the time in the record that says when it happened; ▲ is more than a minute.", cell: delay },
    { id: "source", label: "Source", cell: (r) => text(r.source) },
    { id: "eventId", label: "Event id", cell: (r) => ident(r.eventId) },
    { id: "body", label: "Body", cell: (r) => h("details", {}, h("summary", {}, "show"), h("pre", {}, text(r.body === null ? r.bodyBase64 : JSON.stringify(r.body, null, 1), "", 20000))) },
  ];

  function personFilter() {
    const chosen = people().find((p) => p.participantId === filter.participantId);
    const button = filter.participantId ? h("button", { type: "button", key: "all", onclick: () => choose("") }, "All participants") : null;
    return [field("Participant", h("input", { type: "search", list: "records-people", value: filter.participantId, placeholder: "name, id", onchange: (e) => choose(e.currentTarget.value) })),
      h("datalist", { key: "people", id: "records-people" }, people().slice(0, OFFERED).map((p) => h("option", { key: p.participantId, value: p.participantId, label: p.displayName ?? p.participantId }))),
      button, chosen?.displayName ? h("span", { class: "summary", key: "chosen" }, text(chosen.displayName, "–", 60)) : null];
  }

  function filters() {
    const offered = [...new Set([...types, filter.type].filter(Boolean))].sort();
    return h("div", { class: "filters", key: "f" }, fixed ? null : personFilter(),
      field("Type", select(filter.type, [["", "all types"], ...offered.map((t) => [t, t])], (type) => change({ type }, { type }))),
      h("label", { class: "check", key: "late" }, h("input", { type: "checkbox", checked: filter.late, onchange: (e) => {
        filter.late = e.currentTarget.checked;
        set({ late: filter.late ? "true" : null });
      } }), "Late only"),
      csv(`${path}/events`, { participantId: filter.participantId, type: filter.type }));
  }

  function render() {
    const rows = items.filter((r) => !filter.late || isLate(r));
    return h("section", { key: "raw", "aria-labelledby": "raw-h", init: (el) => params.has("records") && requestAnimationFrame(() => el.scrollIntoView()) }, h("h2", { id: "raw-h" }, "Raw records"),
      h("details", { open, ontoggle: (e) => toggle(e.currentTarget.open) }, h("summary", {}, "What the provider sent, in the log's order"),
        open ? [
          filters(),
          unknown ? h("p", { class: "note warn", key: "unknown", role: "status" }, "▲ ", text(unknown)) : null,
          state({ loading: !reading.loaded && !reading.error, error: reading.error, retry: load, empty: reading.loaded && !rows.length ? (filter.late ? "No matching records: none of these came more than a minute late." : "No matching records.") : null }),
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
    set({ records: open ? "open" : null });
    if (open) load();
  }

  if (open) load();
  return {
    render,
    changed: (sequence) => {
      at = sequence;
      if (open) load();
    },
  };
}
