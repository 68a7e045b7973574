// Usage: participant and recording minutes by day, week or month, organizer and
// meeting, in any time zone.

import { all, get } from "./api.js";
import { dayIn, daysFrom, isDay, monthFrom, ownZone, secondsOf } from "./days.js";
import { h } from "./dom.js";
import { count, flatText } from "./format.js";
import { dayChart } from "./plot.js";
import { loader } from "./refresh.js";
import { csv, field, figures, select, sorted, sorting, state, table, to } from "./ui.js";
import { usageCases } from "./usagecases.js";
import { MEASURES, PEAK, PERIODS, rowKey, usageColumns, usageFigures } from "./usagerows.js";

const CAP = 5000;
const MOST_DAYS = 1100; // that are drawn

// presets are the periods that are asked for most.
function presets(timezone) {
  const today = dayIn(timezone, Date.now());
  return [
    ["This month", { from: monthFrom(today, 0), to: monthFrom(today, 1) }],
    ["Last month", { from: monthFrom(today, -1), to: monthFrom(today, 0) }],
    ["Last 30 days", { from: daysFrom(today, -29), to: daysFrom(today, 1) }],
  ];
}

// total adds days up; the peak is the greatest, not a sum.
function total(days) {
  const add = (m) => (m === PEAK ? (most, d) => Math.max(most, d[m]) : (sum, d) => sum + d[m]);
  return Object.fromEntries(MEASURES.map(([m]) => [m, days.reduce(add(m), 0)]));
}

function series(days, { from, to: end }) {
  const by = new Map(days.map((d) => [d.day, d]));
  const list = [];
  for (let d = from; d < end && list.length < MOST_DAYS; d = daysFrom(d, 1)) list.push(d);
  const of = (member) => list.map((d) => (by.get(d)?.[member] ?? 0) / 60);
  return [list.map(secondsOf), of("participantSeconds"), of("recordingSeconds")];
}

// firstSort is the order where none is chosen: periods begin with the latest, other rows
// with the most minutes.
const firstSort = (groups) => `-${PERIODS.map(([id]) => id).find((id) => groups.includes(id)) ?? "participantSeconds"}`;

export function usage({ params, draw, set, signal }) {
  const zones = [...new Set(["UTC", ownZone, ...Intl.supportedValuesOf("timeZone")])];
  const timezone = zones.find((z) => z === params.get("timezone")) ?? ownZone;
  const query = { ...presets(timezone)[2][1], organizerId: params.get("organizerId") ?? "", meetingId: params.get("meetingId") ?? "", timezone };
  for (const name of ["from", "to"]) if (isDay(params.get(name))) query[name] = params.get(name);
  let groups = (params.get("groupBy") ?? "day,organizer").split(",");
  const sort = sorting({ params, set }, firstSort(groups));
  let shown = null;              // {query, groups, rows, more, days, cases}: what was read together
  let organizers = { of: null, items: [] };
  let limit = 100;

  const chart = dayChart({ signal, bars: "participant minutes", line: "recording minutes", failed: (err) => {
    reading.error = err;
    draw();
  } });

  const reading = loader(async () => {
    const now = { query: { ...query }, groups: [...groups] };
    const [rows, days, cases] = await Promise.all([
      all("/v1/usage", { ...now.query, groupBy: now.groups.join() }, { signal, cap: CAP }),
      all("/v1/usage", { ...now.query, groupBy: "day" }, { signal, cap: 100000 }),
      get("/v1/usage/cases", now.query, { signal }),
      readOrganizers(now.query),
    ]);
    shown = { ...now, rows: rows.items, more: rows.more, days: days.items, cases: cases.body };
    chart.set(series(shown.days, now.query));
  }, { draw, signal, rest: 2000 });
  const load = reading.load;

  // readOrganizers reads who can be chosen, once for each choice of days.
  async function readOrganizers({ from, to: end, timezone: zone }) {
    const of = [from, end, zone].join();
    if (organizers.of === of) return;
    const { items } = await all("/v1/usage", { from, to: end, timezone: zone, groupBy: "organizer" }, { signal, cap: CAP });
    organizers = { of, items: items.filter((o) => o.organizerId) };
  }

  const change = (values) => {
    Object.assign(query, values);
    limit = 100;
    set(values);
    reading.now();
  };

  const group = (list) => {
    groups = list.length ? list : ["organizer"];
    sort.begin(firstSort(groups));
    limit = 100;
    set({ groupBy: groups.join(), sort: null });
    reading.now();
  };
  const period = () => groups.find((g) => PERIODS.some(([id]) => id === g)) ?? "";
  const within = (g) => h("label", { class: "check", key: g }, h("input", { type: "checkbox", name: g, checked: groups.includes(g), onchange: (e) => group([...groups.filter((o) => o !== g), ...(e.currentTarget.checked ? [g] : [])]) }), `by ${g}`);

  function filters() {
    const day = (label, value, taken) => field(label, h("input", { type: "date", value, onchange: (e) => e.currentTarget.value && change(taken(e.currentTarget.value)) }));
    return h("form", { class: "filters", key: "filters", onsubmit: (e) => e.preventDefault() },
      h("div", { class: "tabs", role: "group", "aria-label": "Periods", key: "presets" }, presets(query.timezone).map(([label, days]) => h("button", { key: label, type: "button", "aria-pressed": String(query.from === days.from && query.to === days.to), onclick: () => change(days) }, label))),
      day("First day", query.from, (v) => ({ from: v })), day("Last day", daysFrom(query.to, -1), (v) => ({ to: daysFrom(v, 1) })),
      field("Time zone", select(query.timezone, zones.map((z) => [z, z]), (v) => change({ timezone: v }))),
      field("Rows per", select(period(), [...PERIODS, ["", "Whole period"]], (v) => group([v, ...groups.filter((g) => g !== period())].filter(Boolean)))),
      h("span", { class: "checks", key: "within" }, within("organizer"), within("meeting")),
      field("Organizer", select(query.organizerId, [["", "all"], ...choices()], (v) => change({ organizerId: v }))),
      field("Meeting", h("input", { type: "search", placeholder: "all; or a meeting's id", value: query.meetingId, onchange: (e) => change({ meetingId: e.currentTarget.value.trim() }) })),
      csv("/v1/usage", { ...query, groupBy: groups.join() }));
  }

  // choices are the organizers of the days, and the chosen one in any case.
  function choices() {
    const list = organizers.items.map((o) => [o.organizerId, flatText(o.organizerName ?? o.organizerId, 40)]);
    return !query.organizerId || list.some(([id]) => id === query.organizerId) ? list : [[query.organizerId, flatText(query.organizerId, 40)], ...list];
  }

  function rowsPart() {
    const columns = usageColumns({ groups: shown.groups, timezone: shown.query.timezone, to: shown.query.to, only: query.meetingId ? null : (id) => change({ meetingId: id }) });
    return h("section", { key: "rows", "aria-labelledby": "rows-h" }, h("h2", { id: "rows-h" }, `By ${shown.groups.join(", ")}`),
      table({ caption: "Usage rows", columns, rows: sorted(shown.rows, columns, sort, rowKey), key: rowKey, sort, onSort: sort.click, limit, onMore: (n) => {
        limit = n;
        draw();
      } }),
      shown.more ? h("p", { class: "note", key: "cap" }, `The first ${count(CAP)} rows are listed; the files have all. The totals are of all.`) : null);
  }

  function render() {
    const some = shown?.days.length > 0;
    const sum = some ? total(shown.days) : null;
    return [
      h("div", { class: "title", key: "title" }, h("h1", {}, "Usage"), h("p", { class: "summary" }, `days in ${query.timezone}`), h("a", { href: to("closings") }, "Closed months")),
      filters(),
      state({ loading: !reading.loaded, error: reading.error, retry: load, empty: shown && !some ? "No usage in this period." : null }),
      some ? h("section", { key: "totals", "aria-label": "Totals" }, figures(usageFigures(sum))) : null,
      shown ? usageCases(shown.cases) : null,
      h("section", { key: "chart", "aria-labelledby": "chart-h", class: some ? null : "hidden" }, h("h2", { id: "chart-h" }, "Minutes per day"),
        h("p", { class: "legend", "aria-hidden": "true" }, h("span", {}, h("span", { class: "key bars-key" }), " participant minutes (bars)"), h("span", {}, h("span", { class: "key line-key" }), " recording minutes (dashed line)")),
        h("div", { class: "plot", role: "img", "aria-label": "Participant minutes and recording minutes per day", init: chart.init })),
      some ? rowsPart() : null,
    ];
  }

  load();
  return { title: () => "Usage", render, reload: load, changed: (changes) => changes.some((c) => c.view === "usage" || c.view === "recordings") && load() };
}
