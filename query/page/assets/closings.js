// Closings: months whose usage was kept as it was, and what has changed since.

import { all } from "./api.js";
import { closing } from "./closing.js";
import { dayIn, monthFrom, ownZone } from "./days.js";
import { h } from "./dom.js";
import { count } from "./format.js";
import { loader } from "./refresh.js";
import { badge, csv, sorted, sorting, state, table, to, when } from "./ui.js";
import { MEASURES, PEAK } from "./usagerows.js";

// changedBadge says how many sessions are different now; null: not known yet.
const changedBadge = (n) => (n === null ? badge("idle", "not known yet", "the views hold less than the closing") : n ? badge("warn", `${count(n)} changed`) : badge("good", "none"));

const columns = [
  { id: "month", label: "Month", sort: (c) => c.month, cell: (c) => h("a", { class: "main nowrap", href: to("closings", c.id) }, c.month) },
  { id: "timezone", label: "Time zone", sort: (c) => c.timezone, cell: (c) => c.timezone },
  { id: "closedAt", label: "Closed", sort: (c) => c.closedAt, cell: (c) => when(c.closedAt) },
  { id: "sequence", label: "At record", num: true, sort: (c) => c.sequence, cell: (c) => count(c.sequence) },
  ...MEASURES.filter(([id]) => id !== PEAK).map(([id, label, show]) => ({ id, label, num: true, sort: (c) => c[id], cell: (c) => show(c[id]) })),
  { id: "changed", label: "Sessions changed since", sort: (c) => c.changed ?? -1, cell: (c) => changedBadge(c.changed) },
];

// howTo says how last month is closed, and how a closing is verified.
function howTo() {
  const month = monthFrom(dayIn(ownZone, Date.now()), -1).slice(0, 7);
  const id = `${month}.${ownZone.replaceAll("/", ".").replaceAll("+", "=")}`;
  return h("section", { key: "how", "aria-labelledby": "how-h" }, h("h2", { id: "how-h" }, "Close a month"),
    h("p", {}, "A closing keeps each session's usage as it is at one record of the log. What comes later changes Usage and not the closing, and is listed beside it. An operator runs:"),
    h("pre", { class: "command", tabindex: "0", "aria-label": "Commands" }, `rollcall close ${month} --timezone ${ownZone}\nrollcall verify --closing ${id}`),
    h("p", { class: "summary" }, "The second command replays the log up to that record and says whether the closing is right (exit code 5: it is not). With --again a month is closed once more; both closings stay."));
}

export function closings(view) {
  return view.args[0] ? closing(view) : closingList(view);
}

function closingList({ params, draw, set, signal }) {
  let items = [];
  const sort = sorting({ params, set }, "-closedAt");

  const reading = loader(async () => {
    ({ items } = await all("/v1/closings", {}, { signal }));
  }, { draw, signal, rest: 2000 });

  function render() {
    return [
      h("div", { class: "title", key: "title" }, h("h1", {}, "Closed months"), h("p", { class: "summary" }, reading.loaded ? `${count(items.length)} closed` : ""), h("a", { href: to("usage") }, "Usage")),
      items.length ? h("div", { class: "filters", key: "filters" }, csv("/v1/closings", {})) : null,
      state({ loading: !reading.loaded, error: reading.error, retry: reading.load, empty: reading.loaded && !items.length ? "No month is closed yet." : null }),
      items.length ? table({ caption: "Closed months", columns, rows: sorted(items, columns, sort, (c) => c.id), key: (c) => c.id, sort, onSort: sort.click, limit: items.length }) : null,
      howTo(),
    ];
  }

  reading.load();
  return { title: () => "Closed months", render, reload: reading.load, changed: (changes) => changes.some((c) => c.view === "usage" || c.view === "recordings") && reading.load() };
}
