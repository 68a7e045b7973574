// The parts that every view is made of. Each returns descriptions for patch.

import { address, save, token } from "./api.js";
import { ownZone } from "./days.js";
import { h } from "./dom.js";
import { count, flatText, local, millis, visible } from "./format.js";

// text shows what somebody sent: isolated from the direction of the rest, hidden
// characters by their code points.
export function text(s, fallback = "–", max = 200) {
  if (s === null || s === undefined || s === "") return h("span", { class: "none" }, fallback);
  const runs = visible(s, max).map((r) => r.text ?? h("span", { class: "esc", title: "a character that can't be seen" }, r.code));
  return h("bdi", {}, runs);
}

// ident shows an id, shortened, whole on hover or where that is asked for; a click copies it.
export function ident(s, whole = false) {
  if (!s) return h("span", { class: "none" }, "–");
  return h("button", { class: whole ? "id whole" : "id", type: "button", title: `${flatText(s, 300)}: copy`, onclick: (e) => copy(e.currentTarget, s) }, whole ? text(s) : h("bdi", {}, short(s)));
}

// short is an id's beginning and end.
export const short = (s) => (s.length > 18 ? `${flatText(s.slice(0, 8))}…${flatText(s.slice(-4))}` : flatText(s));

function copy(button, s) {
  navigator.clipboard?.writeText(s).then(() => {
    button.classList.add("copied");
    setTimeout(() => button.classList.remove("copied"), 900);
  }, () => {});
}

// copyLink copies the page's address, which holds what is chosen: who opens it sees the same.
// Without https a browser lets nobody copy: then the link is shown.
export const copyLink = () => h("button", { type: "button", class: "copy-link", key: "copy-link", onclick: (e) => (navigator.clipboard ? copy(e.currentTarget, location.href) : prompt("The link to this view:", location.href)) }, "Copy link");

// help is a button that shows what a word means, above everything else.
export const help = (word, ...words) => {
  const name = `help-${word.replace(/\W+/g, "-")}`;
  return h("span", { class: "helps", key: name }, h("button", { type: "button", class: "help", popovertarget: name, "aria-label": `What is ${word}?` }, "?"), h("span", { id: name, class: "help-text", popover: "auto", role: "note" }, words));
};

// when shows a time in the reader's zone; UTC, as it was sent, on hover.
export function when(iso, fallback = "–") {
  const ms = millis(iso);
  if (ms === null) return iso ? text(iso) : h("span", { class: "none" }, fallback);
  return h("time", { datetime: iso, title: `${iso.replace("T", " ").replace("Z", "")} UTC` }, local(ms));
}

// elapsed counts up from a time, until counts down to one.
export const elapsed = (ms) => (ms === null ? "–" : h("span", { class: "tick", "data-since": ms }));
const until = (ms) => h("span", { class: "tick", "data-until": ms, title: `${new Date(ms).toISOString().replace("T", " ").replace("Z", "")} UTC` });

// expires says after a link how long it lasts: ", expires in 6 days".
export const expires = (iso) => (millis(iso) === null ? null : [", ", until(millis(iso))]);

// badge is a word with a mark: colour alone never says it.
const MARKS = { good: "●", warn: "▲", bad: "✖", info: "◆", idle: "○", air: "◉" };
export const badge = (kind, label, title) => h("span", { class: `badge ${kind}`, title }, h("span", { class: "mark", "aria-hidden": "true" }, MARKS[kind]), label);

const RECORDING = { __proto__: null, UPLOADED: "good", ERRORED: "bad", UPLOADING: "info", RECORDING: "info", PAUSED: "warn", INVOKED: "idle" };
export const recordingBadge = (r) => badge(RECORDING[r.status] ?? "idle", flatText(r.status ?? "unknown", 20));

export function sessionBadge(s) {
  if (s.status !== "LIVE") return badge("idle", "ended");
  return s.stale ? badge("warn", "stale", "LIVE, but superseded or long without an event") : badge("good", "live");
}

const ANOMALIES = {
  "bad-time": "a time in its events can't be read",
  "end-before-start": "it ended before it started",
  "end-inferred": "no event says when it ended; the received time stands in",
  "join-unseen": "somebody left who was never seen to join",
  "left-before-joined": "somebody left before they joined",
  "left-after-end": "somebody left after the end",
  "no-peer-id": "a join or leave does not say whose it is",
  "no-session-id": "its events name only the meeting",
};

// FLAGS explains them all at once.
export const FLAGS = "What is odd about a session, none of which loses a fact: times that can't be read or contradict each other, a start, join or end that no event tells of, a record that was set aside. Hover or touch a flag for its meaning.";

// flags lists what is odd about a session, each with its meaning.
export function flags(s) {
  const out = s.anomalies.map((a) => h("span", { key: a, class: "flag", title: ANOMALIES[a] ?? a }, h("span", { "aria-hidden": "true" }, "⚑ "), a));
  if (s.implicit) out.push(h("span", { key: "implicit", class: "flag", title: "no meeting.started was seen" }, h("span", { "aria-hidden": "true" }, "⚑ "), "implicit"));
  if (s.degradedSince) out.push(h("span", { key: "degraded", class: "flag bad", title: "a record was set aside and is missing here" }, h("span", { "aria-hidden": "true" }, "✖ "), "degraded"));
  return out.length ? h("span", { class: "flags" }, out) : h("span", { class: "none" }, "–");
}

// In a table of more rows than this the columns' widths don't follow their
// content: laying out 1,000 rows for each changed cell would cost 0.2 s.
const LONG = 200;

// table draws rows by key, the first limit of them, and a button for more.
// columns: {id, label, cell(row), sort, num, help}; sort {by, down}; onSort(id).
export function table({ caption, columns, rows, key, sort, onSort, limit = 200, onMore, memo, inputs = () => [], rowClass }) {
  const head = columns.map((c) => {
    const on = sort && sort.by === c.id;
    const props = { key: c.id, role: "columnheader", scope: "col", class: c.num ? "num" : null, "aria-sort": on ? (sort.down ? "descending" : "ascending") : null };
    const label = !c.sort || !onSort ? c.label : h("button", { type: "button", class: "sort", onclick: () => onSort(c.id) }, c.label, h("span", { "aria-hidden": "true", class: "arrow" }, on ? (sort.down ? "\u00a0▼" : "\u00a0▲") : ""));
    return h("th", props, h("span", { class: "head" }, label, c.help ? help(c.label, c.help) : null));
  });
  const row = (r) => h("tr", { key: key(r), role: "row", class: rowClass?.(r) }, columns.map((c) => h("td", { key: c.id, role: "cell", "data-label": c.label, class: c.num ? "num" : null }, c.cell(r))));
  const shown = rows.slice(0, limit);
  const body = memo ? shown.map((r) => memo.row(key(r), [r, ...inputs(r)], () => row(r))) : shown.map(row);
  memo?.sweep();
  // Where rows are cards, the columns have no heads to click on.
  const order = sort && onSort ? h("div", { class: "order", key: `order-${caption}` }, field("Sort by", select(sort.by, columns.filter((c) => c.sort).map((c) => [c.id, c.label]), onSort)),
    h("button", { type: "button", "aria-label": sort.down ? "descending: turn round" : "ascending: turn round", onclick: () => onSort(sort.by) }, sort.down ? "▼" : "▲")) : null;
  return [
    order,
    h("div", { class: "scroll", key: `scroll-${caption}`, role: "region", tabindex: "0", "aria-label": caption },
      h("table", { role: "table", class: shown.length > LONG ? "long" : null }, h("caption", { class: "sr" }, caption), h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)), h("tbody", { role: "rowgroup" }, body))),
    rows.length > limit && onMore ? h("p", { class: "more", key: `more-${caption}` }, `${count(limit)} of ${count(rows.length)} shown. `,
      h("button", { type: "button", onclick: () => onMore(limit + 200) }, "Show 200 more"), " ",
      h("button", { type: "button", onclick: () => onMore(rows.length) }, `Show all ${count(rows.length)}`)) : null,
  ];
}

// sorted orders rows by a column; equal rows keep a fixed order by key.
export function sorted(rows, columns, sort, key) {
  const value = columns.find((c) => c.id === sort.by)?.sort ?? (() => 0);
  const sign = sort.down ? -1 : 1;
  return rows.map((r) => [value(r), key(r), r]).sort(([a, ka], [b, kb]) => {
    if (a === null || a === undefined) return b === null || b === undefined ? (ka < kb ? -1 : 1) : 1;
    if (b === null || b === undefined) return -1;
    const d = typeof a === "string" ? a.localeCompare(String(b)) : a - b;
    return d ? d * sign : ka < kb ? -1 : 1;
  }).map(([, , r]) => r);
}

// sorting is a table's order, kept in the address: "-name" is descending. A click on the
// head of the column that rows are sorted by turns them round; begin sets another order.
export function sorting({ params, set }, fallback) {
  const self = {};
  self.begin = (wanted) => Object.assign(self, { by: wanted.replace(/^-/, ""), down: wanted.startsWith("-") });
  self.click = (by) => {
    self.down = self.by === by ? !self.down : true;
    self.by = by;
    set({ sort: `${self.down ? "-" : ""}${by}` });
  };
  return self.begin(params.get("sort") ?? fallback);
}

// state shows a load's loading, failure or emptiness; null when there are rows.
export function state({ loading, error, empty, retry }) {
  if (error) {
    return h("div", { class: "note bad", role: "alert", key: "error" }, h("p", {}, h("strong", {}, "This could not be loaded. "), text(error.message, "unknown error", 400)),
      retry ? h("p", {}, h("button", { type: "button", onclick: retry }, "Try again")) : null);
  }
  if (loading) return h("p", { class: "note busy", key: "loading", "aria-busy": "true" }, "Loading…");
  if (empty) return h("p", { class: "note", key: "empty" }, empty);
  return null;
}

// figure is one number with its name.
export const figure = (label, value, hint) => h("div", { class: "figure", key: label, title: hint }, h("dt", {}, label), h("dd", {}, value));
export const figures = (...list) => h("dl", { class: "figures" }, list);

// field is a labelled control.
export const field = (label, control) => h("label", { class: "field", key: label }, h("span", {}, label), control);

export function select(value, options, onchange) {
  return h("select", { value, onchange: (e) => onchange(e.currentTarget.value) }, options.map(([v, label]) => h("option", { key: v, value: v }, label)));
}

// csv is a list as files: for programs, and for spreadsheets in a time zone. The API
// gives them their names.
export function csv(path, params) {
  const timezone = params.timezone ?? ownZone;
  return h("span", { class: "files" }, file("CSV", address(path, { ...params, format: "csv" })), file("Spreadsheet", address(path, { ...params, timezone, format: "sheet" })));
}

// file is a link to a list as a file; with a token, which a link can't send, a download.
function file(label, url) {
  const onclick = (e) => {
    if (!token.get()) return;
    e.preventDefault();
    save(url).catch((err) => alert(`The file could not be read to its end: ${err.message}`));
  };
  return h("a", { class: "button", href: url, download: true, onclick }, label);
}

// link to one of the page's own views.
export const to = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;

// files are what can be downloaded of a recording: one file, or one a participant.
export function files(r) {
  if (!r.files?.length) return outside(r.downloadUrl, "download");
  return h("details", {}, h("summary", {}, r.files.length === 1 ? "1 file" : `${r.files.length} files`), h("ul", {}, r.files.map((f, i) => h("li", { key: i }, text(f.participantId, "whose is not known", 40),
    f.url ? [" ", outside(f.url, "download")] : null, f.audioUrl ? [" ", outside(f.audioUrl, "audio")] : null))));
}

// outside is a link that somebody sent; anything but http(s) is shown as text.
export function outside(url, label) {
  if (!url) return h("span", { class: "none" }, "none");
  if (!/^https?:\/\//i.test(url)) return text(url, "", 60);
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer", referrerpolicy: "no-referrer" }, label);
}
