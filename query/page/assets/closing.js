// One closing: the month's rows as they were, and what has changed since, by session,
// with the record that did it.

import { ApiError, all, get, id } from "./api.js";
import { h } from "./dom.js";
import { clock, count, duration, flatText } from "./format.js";
import { loader } from "./refresh.js";
import { csv, figure, figures, ident, sorted, sorting, state, table, text, to, when } from "./ui.js";
import { MEASURES, PEAK, rowKey, usageColumns, usageFigures } from "./usagerows.js";

// What differs is written to the millisecond, so that its minutes are called time.
const NAMES = new Map(MEASURES.map(([id, label]) => [id, label.toLowerCase().replace("minutes", "time")]));
const GROUPS = ["day", "organizer"];

// exact writes a member's value; seconds to the millisecond where there are any.
function exact(member, value) {
  if (!member.endsWith("Seconds")) return count(value);
  const ms = Math.round(value * 1000);
  const whole = duration(Math.floor(ms / 1000));
  return ms % 1000 ? `${whole}.${String(ms % 1000).padStart(3, "0")}` : whole;
}

// signed writes by how much a member differs.
const signed = (member, by) => `${by < 0 ? "−" : "+"}${exact(member, Math.abs(by))}`;

// inAll says by how much the month differs; of peaks there is no sum.
function inAll(changes) {
  const sums = new Map();
  for (const d of changes.flatMap((c) => c.differences)) if (d.member !== PEAK) sums.set(d.member, (sums.get(d.member) ?? 0) + d.after - d.before);
  const said = [...NAMES].filter(([member]) => sums.get(member)).map(([member, name], i) => [i ? ", " : "", `${name} `, h("strong", {}, signed(member, sums.get(member)))]);
  return said.length ? h("p", {}, "In total: ", said, ".") : null;
}

function difference(d) {
  return h("li", { key: `${d.day} ${d.organizerId} ${d.meetingId} ${d.member}` }, `${d.day}: ${NAMES.get(d.member) ?? d.member} `, exact(d.member, d.before), " → ", h("strong", {}, exact(d.member, d.after)),
    ` (${signed(d.member, d.after - d.before)})`);
}

// records shows single records on demand, each read once.
function records({ draw, signal }) {
  const read = new Map();        // sequence → {body} or {error}
  async function open(sequence) {
    if (read.has(sequence)) return;
    read.set(sequence, {});
    try {
      const { items } = await all("/v1/events", { after: sequence - 1, limit: 1 }, { signal, cap: 1 });
      if (items[0]?.sequence !== sequence) throw new ApiError(410, "the log no longer holds it");
      read.set(sequence, { body: items[0].body ?? items[0].bodyBase64 });
    } catch (error) {
      read.set(sequence, { error });
    }
    if (!signal.aborted) draw();
  }
  return (r) => {
    if (!r) return h("span", { class: "none" }, "not found in time");
    const { body, error } = read.get(r.sequence) ?? {};
    return h("details", { class: "record", ontoggle: (e) => e.currentTarget.open && open(r.sequence) }, h("summary", {}, text(r.type, "unreadable", 60), `, record ${count(r.sequence)}`),
      error ? h("p", { class: "bad" }, text(error.message, "", 200)) : h("pre", {}, body === undefined ? "Loading…" : text(typeof body === "string" ? body : JSON.stringify(body, null, 1), "", 20000)));
  };
}

export function closing({ args: [closingId], params, draw, set, signal }) {
  let doc = null;
  let gone = false;
  let seen = null;               // {at, sequence}: when, and with which record, it was compared
  const sort = sorting({ params, set }, "day");
  let limits = { rows: 100, changes: 100 };
  const record = records({ draw, signal });

  // Its comparison looks through the log: it is made again when somebody asks, not with
  // each change.
  const reading = loader(async () => {
    const { body, sequence } = await get(`/v1/closings/${id(closingId)}`, null, { signal });
    doc = body;
    seen = { at: Date.now(), sequence };
  }, { draw, signal, failed: (err) => {
    gone = err.status === 404;
    return gone ? null : err;
  } });

  const files = (list) => csv(`/v1/closings/${id(closingId)}/${list}`, { timezone: doc.timezone });
  const more = (what) => (n) => {
    limits = { ...limits, [what]: n };
    draw();
  };

  const changeColumns = [
    { id: "session", label: "Session", cell: (c) => (c.sessionId ? [h("a", { class: "main", href: to("session", c.sessionId) }, text(c.title, "untitled", 80)), h("span", { class: "sub" }, ident(c.sessionId))] : h("span", { class: "none" }, "recordings without a session")) },
    { id: "differences", label: "As closed → now", cell: (c) => h("ul", { class: "plain" }, c.differences.map(difference)) },
    { id: "record", label: "Record that did it", cell: (c) => (c.sessionId ? record(c.record) : h("span", { class: "none" }, "–")) },
    { id: "revisedAt", label: "Received", cell: (c) => when(c.revisedAt) },
  ];

  function changesPart() {
    return h("section", { key: "changes", "aria-labelledby": "changes-h" }, h("div", { class: "title" }, h("h2", { id: "changes-h" }, "Changed since"), doc.changes.length ? files("changes") : null),
      h("p", { class: "summary" }, `Compared at ${clock(seen.at)}, with record ${count(seen.sequence)}. `, h("button", { type: "button", class: "quiet", onclick: reading.now }, "Compare again")),
      inAll(doc.changes),
      doc.changes.length ? table({ caption: "Changed sessions", columns: changeColumns, rows: doc.changes, key: (c) => c.sessionId ?? "", limit: limits.changes, onMore: more("changes") })
        : h("p", { class: "note" }, "Nothing has changed: Usage says the same as the closing."),
      doc.dropped ? h("p", { class: "note warn" }, `▲ ${count(doc.dropped)} sessions can't be compared: the views have dropped them because of their age.`) : null);
  }

  function rowsPart() {
    const columns = usageColumns({ groups: GROUPS, timezone: doc.timezone });
    return h("section", { key: "rows", "aria-labelledby": "rows-h" }, h("div", { class: "title" }, h("h2", { id: "rows-h" }, "As closed, by day and organizer"), files("rows")),
      table({ caption: "Rows as closed", columns, rows: sorted(doc.rows ?? [], columns, sort, rowKey), key: rowKey, sort, onSort: sort.click, limit: limits.rows, onMore: more("rows") }));
  }

  function render() {
    const title = doc ? `${doc.month} in ${doc.timezone}` : "Closing";
    return [
      h("div", { class: "title", key: "title" }, h("h1", {}, title), h("p", { class: "summary" }, doc ? ["closed ", when(doc.closedAt), " at record ", h("strong", {}, count(doc.sequence))] : ""), h("a", { href: to("closings") }, "Closed months")),
      state({ loading: !reading.loaded && !gone, error: reading.error, retry: reading.load, empty: gone ? "There is no such closing." : null }),
      doc ? h("section", { key: "totals", "aria-label": "Totals as closed" }, figures(usageFigures(doc), figure("Sessions changed since", count(doc.changed)))) : null,
      doc ? h("p", { key: "verify" }, "Verify it: ", h("code", {}, `rollcall verify --closing ${closingId}`)) : null,
      doc ? changesPart() : null,
      doc ? rowsPart() : null,
    ];
  }

  reading.load();
  return { title: () => flatText(closingId), render };
}
