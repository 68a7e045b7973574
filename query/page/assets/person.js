// Person: one participant id through all its sessions.

import { all, id } from "./api.js";
import { sheetColumns, threshold } from "./attended.js";
import { h } from "./dom.js";
import { count, duration, flatText } from "./format.js";
import { loader } from "./refresh.js";
import { copyLink, csv, figure, figures, ident, sorted, sorting, state, table, text, to, when } from "./ui.js";

const CAP = 1000;

export function person({ args: [participantId], params, draw, set, signal }) {
  const path = `/v1/participants/${id(participantId ?? "")}/sessions`;
  let items = [];
  let more = false;
  let limit = 100;
  const least = threshold({ params, set });
  const sort = sorting({ params, set }, "-firstJoinedAt");

  const reading = loader(async () => {
    ({ items, more } = await all(path, {}, { signal, cap: CAP }));
  }, { draw, signal, rest: 400, failed: (err) => {
    if (err.status !== 404) return err;
    reading.loaded = true;
    return null;
  } });
  const load = reading.load;

  const columns = [
    { id: "session", label: "Session", cell: (p) => [h("a", { class: "main", href: to("attendance", p.sessionId, participantId) }, text(p.session?.title, "untitled", 80)), h("span", { class: "sub" }, ident(p.sessionId))] },
    { id: "displayName", label: "Name used", sort: (p) => p.displayName, cell: (p) => text(p.displayName) },
    ...sheetColumns,
  ];

  function render() {
    const name = items.reduce((last, p) => (p.displayName && (!last || (p.firstJoinedAt ?? "") > (last.firstJoinedAt ?? "")) ? p : last), null)?.displayName;
    const others = [...new Set(items.map((p) => p.displayName).filter((n) => n && n !== name))];
    const found = items.filter(least.lets);
    const times = items.map((p) => p.firstJoinedAt).filter(Boolean).sort();
    return [
      h("div", { class: "title", key: "title" }, h("h1", {}, text(name ?? participantId, "–", 120)), h("p", { class: "summary" }, "participant ", ident(participantId, true), others.length ? [", also named ", others.slice(0, 5).map((n, i) => [i ? ", " : "", text(n, "–", 60)])] : null)),
      items.length ? figures(figure("Sessions", `${more ? "more than " : ""}${count(items.length)}`), figure("Present", count(items.filter((p) => p.present).length)), figure("Total attended", duration(items.reduce((n, p) => n + p.attendedSeconds, 0))), figure("Total connected", duration(items.reduce((n, p) => n + p.connectedSeconds, 0))), figure("First seen", when(times[0]))) : null,
      h("div", { class: "filters", key: "filters" }, least.control(), csv(path, { attendedAtLeast: least.least }), h("button", { type: "button", onclick: () => print() }, "Print"), copyLink()),
      state({ loading: !reading.loaded && !reading.error, error: reading.error, retry: load, empty: reading.loaded && !found.length ? (items.length ? "No matching sessions." : "No sessions for this participant.") : null }),
      found.length ? table({ caption: "Sessions of this person", columns, rows: sorted(found, columns, sort, (p) => p.sessionId), key: (p) => p.sessionId, sort, limit, onSort: sort.click, onMore: (n) => {
        limit = n;
        draw();
      } }) : null,
      more ? h("p", { class: "note", key: "cap" }, `The latest ${count(CAP)} are listed and added up.`) : null,
    ];
  }

  load();
  return { title: () => flatText(participantId), render, reload: load, changed: (changes) => changes.some((c) => c.view === "attendance" && (c.key.endsWith(`.${participantId}`) || c.key.includes(".h_"))) && load() };
}
