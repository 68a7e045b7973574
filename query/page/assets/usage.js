// Usage: participant and recording minutes a day, by organizer, in any time zone.

import { all } from "./api.js";
import { h } from "./dom.js";
import { count, flatText } from "./format.js";
import { loader } from "./refresh.js";
import { csv, field, figure, figures, next, select, sorted, state, table, text } from "./ui.js";

const UPLOT_JS = "/assets/uplot.min.js";
const UPLOT_CSS = "/assets/uplot.min.css";

// plotter loads uPlot when the first chart is drawn: the other views do without.
let plotter = null;
function loadPlotter() {
  plotter ??= new Promise((done, failed) => {
    const css = document.createElement("link");
    css.rel = "stylesheet";
    css.setAttribute("href", UPLOT_CSS);
    const script = document.createElement("script");
    script.onload = () => done(globalThis.uPlot);
    script.onerror = () => failed(new Error("the chart's file could not be loaded"));
    script.src = scriptURL(UPLOT_JS);
    document.head.append(css, script);
  });
  return plotter;
}

// scriptURL passes our own constant through Trusted Types, which the page's
// policy requires for a script's address.
function scriptURL(path) {
  return globalThis.trustedTypes ? trustedTypes.createPolicy("rollcall-uplot", { createScriptURL: () => path }).createScriptURL(path) : path;
}

const iso = (d) => `${d.getFullYear()}-${String(d.getMonth() + 1).padStart(2, "0")}-${String(d.getDate()).padStart(2, "0")}`;
const daysFrom = (day, n) => new Date(Date.parse(`${day}T00:00:00Z`) + n * 86400000).toISOString().slice(0, 10);
const minutes = (seconds) => seconds / 60;

export function usage({ params, draw, set, signal }) {
  const today = iso(new Date());
  const zones = ["UTC", ...Intl.supportedValuesOf("timeZone").filter((z) => z !== "UTC")];
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const query = {
    from: params.get("from") ?? daysFrom(today, -29),
    to: params.get("to") ?? daysFrom(today, 1),
    timezone: params.get("timezone") ?? own ?? "UTC",
  };
  let organizer = params.get("organizer") ?? "";
  let items = [];
  let more = false;
  let chart = null;
  let drawn = null;
  let limit = 100;
  let sort = { by: "participantSeconds", down: true };

  const reading = loader(async () => {
    ({ items, more } = await all("/v1/usage", { ...query, groupBy: "day,organizer" }, { signal, cap: 50000 }));
  }, { draw, signal, rest: 2000 });
  const load = reading.load;

  const change = (values) => {
    Object.assign(query, values);
    set(values);
    load();
  };

  const orgKey = (r) => r.organizerId ?? "";

  // sum adds rows up under a key; peaks are the greatest, not a sum.
  function sum(rows, key) {
    const by = new Map();
    for (const r of rows) {
      const k = key(r);
      const t = by.get(k) ?? { key: k, name: null, sessions: 0, participantSeconds: 0, attendedSeconds: 0, recordingSeconds: 0, peakParticipants: 0 };
      t.name ??= r.organizerName;
      for (const f of ["sessions", "participantSeconds", "attendedSeconds", "recordingSeconds"]) t[f] += r[f];
      t.peakParticipants = Math.max(t.peakParticipants, r.peakParticipants);
      by.set(k, t);
    }
    return by;
  }

  function series(rows) {
    const by = sum(rows, (r) => r.day);
    const days = [];
    for (let d = query.from; d < query.to && days.length < 1100; d = daysFrom(d, 1)) days.push(d);
    return { days, data: [days.map((d) => Date.parse(`${d}T00:00:00Z`) / 1000), days.map((d) => minutes(by.get(d)?.participantSeconds ?? 0)), days.map((d) => minutes(by.get(d)?.recordingSeconds ?? 0))] };
  }

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  async function plot(el) {
    let Plot;
    try {
      Plot = await loadPlotter();
    } catch (err) {
      reading.error = err;
      return draw();
    }
    if (signal.aborted) return;
    const make = () => {
      chart?.destroy();
      const axis = { stroke: color("--dim"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line") } };
      const barsPath = Plot.paths.bars({ size: [0.6, 40] });
      chart = new Plot({
        width: el.clientWidth || 600, height: 260, tzDate: (ts) => Plot.tzDate(new Date(ts * 1000), "UTC"),
        legend: { show: false }, cursor: { drag: { x: false, y: false } },
        scales: { x: { range: (_, min, max) => [min - 43200, max + 43200] }, y: { range: (_, __, max) => [0, Math.max(1, max * 1.08)] } },
        axes: [{ ...axis, values: "{MMM} {D}", incrs: [1, 2, 5, 7, 14, 28, 56, 112].map((d) => d * 86400) }, { ...axis, size: 64, label: "minutes", labelSize: 18 }],
        series: [{}, { label: "participant minutes", fill: color("--bar"), stroke: color("--bar"), paths: barsPath, points: { show: false } }, { label: "recording minutes", stroke: color("--warn"), width: 2, dash: [6, 4], points: { show: true, size: 5 } }],
      }, drawn?.data ?? [[], [], []], el);
    };
    make();
    const resize = new ResizeObserver(() => chart.setSize({ width: el.clientWidth, height: 260 }));
    resize.observe(el);
    addEventListener("themechange", make, { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", make, { signal });
    signal.addEventListener("abort", () => {
      resize.disconnect();
      chart.destroy();
    });
  }

  const columns = (first) => [
    first,
    { id: "sessions", label: "Sessions", num: true, sort: (t) => t.sessions, cell: (t) => count(t.sessions) },
    { id: "participantSeconds", label: "Participant minutes", num: true, sort: (t) => t.participantSeconds, cell: (t) => count(Math.round(t.participantSeconds / 6) / 10) },
    { id: "attendedSeconds", label: "Attended minutes", num: true, sort: (t) => t.attendedSeconds, cell: (t) => count(Math.round(t.attendedSeconds / 6) / 10) },
    { id: "recordingSeconds", label: "Recording minutes", num: true, sort: (t) => t.recordingSeconds, cell: (t) => count(Math.round(t.recordingSeconds / 6) / 10) },
    { id: "peakParticipants", label: "Peak", num: true, sort: (t) => t.peakParticipants, cell: (t) => count(t.peakParticipants) },
  ];
  const byOrganizer = columns({ id: "organizer", label: "Organizer", sort: (t) => (t.name ?? t.key).toLowerCase(), cell: (t) => text(t.name ?? t.key, "no organizer", 60) });
  const byDay = columns({ id: "day", label: "Day", cell: (t) => t.key });

  function render() {
    const rows = items.filter((r) => !organizer || orgKey(r) === organizer);
    const total = [...sum(rows, () => "all").values()][0];
    const organizers = [...sum(items, orgKey).values()];
    drawn = series(rows);
    chart?.setData(drawn.data);
    const onSort = (by) => {
      sort = next(sort, by);
      draw();
    };
    return [
      h("div", { class: "title", key: "title" }, h("h1", {}, "Usage"), h("p", { class: "summary" }, `days in ${query.timezone}`)),
      h("form", { class: "filters", key: "filters", onsubmit: (e) => e.preventDefault() },
        field("From", h("input", { type: "date", value: query.from, onchange: (e) => e.currentTarget.value && change({ from: e.currentTarget.value }) })),
        field("To (day after the last)", h("input", { type: "date", value: query.to, onchange: (e) => e.currentTarget.value && change({ to: e.currentTarget.value }) })),
        field("Time zone", select(query.timezone, (zones.includes(query.timezone) ? zones : [query.timezone, ...zones]).map((z) => [z, z]), (v) => change({ timezone: v }))),
        field("Organizer", select(organizer, [["", "all"], ...organizers.filter((o) => o.key).map((o) => [o.key, flatText(o.name ?? o.key, 40)])], (v) => {
          organizer = v;
          set({ organizer: v });
        })),
        csv("/v1/usage", { ...query, groupBy: "day,organizer" }, "usage.csv")),
      state({ loading: !reading.loaded, error: reading.error, retry: load, empty: reading.loaded && !rows.length ? "No usage in this period." : null }),
      total ? h("section", { key: "totals", "aria-label": "Totals" }, figures(figure("Sessions", count(total.sessions)), figure("Participant minutes", count(Math.round(total.participantSeconds / 60))), figure("Attended minutes", count(Math.round(total.attendedSeconds / 60))), figure("Recording minutes", count(Math.round(total.recordingSeconds / 60))), figure("Peak", count(total.peakParticipants)))) : null,
      h("section", { key: "chart", "aria-labelledby": "chart-h", class: total ? null : "hidden" }, h("h2", { id: "chart-h" }, "Minutes per day"),
        h("p", { class: "legend", "aria-hidden": "true" }, h("span", {}, h("span", { class: "key bars-key" }), " participant minutes (bars)"), h("span", {}, h("span", { class: "key line-key" }), " recording minutes (dashed line)")),
        h("div", { class: "plot", role: "img", "aria-label": "Participant minutes and recording minutes per day; the table below has the same figures", init: plot })),
      total ? h("section", { key: "organizers", "aria-labelledby": "org-h" }, h("h2", { id: "org-h" }, "By organizer"), table({ caption: "Usage by organizer", columns: byOrganizer, rows: sorted(organizers, byOrganizer, sort, (t) => t.key), key: (t) => t.key, sort, onSort, limit, onMore: (n) => {
        limit = n;
        draw();
      } })) : null,
      total ? h("section", { key: "days", "aria-labelledby": "days-h" }, h("h2", { id: "days-h" }, "By day"), table({ caption: "Usage by day", columns: byDay, rows: [...sum(rows, (r) => r.day).values()].sort((a, b) => (a.key < b.key ? 1 : -1)), key: (t) => t.key, limit: 400 })) : null,
      more ? h("p", { class: "note bad", key: "cap" }, "✖ More rows than can be added up here; choose fewer days.") : null,
    ];
  }

  load();
  return { title: () => "Usage", render, reload: load, changed: (changes) => changes.some((c) => c.view === "usage" || c.view === "recordings") && load() };
}
