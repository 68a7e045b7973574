// People: find a person by a name or an id, whichever session they were in.

import { all } from "./api.js";
import { h } from "./dom.js";
import { count, millis } from "./format.js";
import { loader } from "./refresh.js";
import { csv, field, ident, sorted, sorting, state, table, text, to, when } from "./ui.js";

const CAP = 1000;

export function people({ params, draw, set, signal }) {
  let items = [];
  let more = false;
  let limit = 100;
  let q = params.get("q") ?? "";
  const sort = sorting({ params, set }, "-lastJoinedAt");

  const reading = loader(async () => {
    ({ items, more } = await all("/v1/participants", { q: q.trim(), limit: 200 }, { signal, cap: CAP }));
  }, { draw, signal, rest: 400 });
  const load = reading.load;

  const others = (p) => p.names.filter((n) => n !== p.displayName);

  const columns = [
    { id: "displayName", label: "Person", sort: (p) => (p.displayName ?? p.participantId).toLowerCase(), cell: (p) => h("a", { class: "main", href: to("person", p.participantId) }, text(p.displayName || p.participantId, "–", 80)) },
    { id: "participantId", label: "Id", cell: (p) => ident(p.participantId, true) },
    { id: "names", label: "Also named", cell: (p) => (others(p).length ? others(p).slice(0, 5).map((n, i) => [i ? ", " : "", text(n, "–", 60)]).concat(others(p).length > 5 ? `, and ${count(others(p).length - 5)} more` : "") : text(null)) },
    { id: "sessions", label: "Sessions", num: true, sort: (p) => p.sessions, cell: (p) => count(p.sessions) },
    { id: "lastJoinedAt", label: "Last joined", sort: (p) => millis(p.lastJoinedAt), cell: (p) => when(p.lastJoinedAt) },
  ];

  // namesakes reports whether several of the people found go by one name.
  function namesakes() {
    const names = items.map((p) => p.displayName).filter(Boolean);
    return new Set(names).size < names.length;
  }

  const render = () => [
    h("div", { class: "title", key: "title" }, h("h1", {}, "People"), h("p", { class: "summary", role: "status" }, reading.loaded ? `${more ? "more than " : ""}${count(items.length)} found` : "")),
    h("form", { class: "filters", key: "filters", role: "search", "aria-label": "People", onsubmit: (e) => e.preventDefault() },
      field("Find a person", h("input", { type: "search", value: q, placeholder: "name, id", oninput: (e) => {
        q = e.currentTarget.value;
        set({ q });
        load();
      } })),
      csv("/v1/participants", { q: q.trim() })),
    state({ loading: !reading.loaded, error: reading.error, retry: load, empty: reading.loaded && !items.length ? (q.trim() ? "No matching people." : "Nobody was in a session yet.") : null }),
    namesakes() ? h("p", { class: "note", key: "same" }, "Several people have the same name. The id tells them apart: it is what the application that they joined from calls them. Where it gave no id, each connection counts as a person.") : null,
    items.length ? table({ caption: "People", columns, rows: sorted(items, columns, sort, (p) => p.participantId), key: (p) => p.participantId, sort, limit, onSort: sort.click, onMore: (n) => {
      limit = n;
      draw();
    } }) : null,
    more ? h("p", { class: "note", key: "cap" }, `The ${count(CAP)} who joined last are listed; search for others.`) : null,
  ];

  load();
  return { title: () => "People", render, reload: load, changed: (changes) => changes.some((c) => c.view === "attendance") && load() };
}
