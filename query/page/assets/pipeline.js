// Pipeline: whether the numbers can be trusted: how far each projection is, what
// was set aside, and how fast records come in. The lines are gathered here, since
// the page was opened.

import { all } from "./api.js";
import { sparkline } from "./chart.js";
import { h } from "./dom.js";
import { count, duration } from "./format.js";
import { badge, csv, figure, figures, ident, state, table, text } from "./ui.js";

const EVERY = 2000;
const KEEP = 90;       // points: three minutes

// The states that the API knows: live, catching-up, absent.
const KINDS = { live: "good", absent: "bad" };

export function pipeline({ draw, signal }) {
  let items = [];
  let loaded = false;
  let error = null;
  let waiting = false;
  const history = new Map();     // name → {lag: []}
  const heads = [];              // {t, n}: the log's head
  const rates = [];

  async function load() {
    if (waiting) return;
    waiting = true;
    try {
      const list = await all("/v1/projections", {}, { signal, cap: 1000 });
      items = list.items;
      note();
      loaded = true;
      error = null;
    } catch (err) {
      if (signal.aborted) return;
      error = err;
    } finally {
      waiting = false;
    }
    draw();
  }

  function note() {
    const head = Math.max(0, ...items.map((p) => p.headSequence ?? 0));
    const t = performance.now();
    const last = heads.at(-1);
    if (last) push(rates, Math.max(0, (head - last.n) / ((t - last.t) / 1000)));
    push(heads, { t, n: head });
    for (const p of items) {
      const had = history.get(p.name) ?? { lag: [] };
      push(had.lag, p.lag ?? 0);
      history.set(p.name, had);
    }
  }

  function push(list, x) {
    list.push(x);
    if (list.length > KEEP) list.shift();
  }

  // kind sums up a row: parked records are missing in views, which is bad even when all else is well.
  const kind = (p) => (p.parked > 0 ? "bad" : (KINDS[p.state] ?? "warn"));

  // rebuild says how far a projection that is behind has come, of the whole log.
  const rebuild = (p) => (p.state !== "live" && p.headSequence > 0 ? h("progress", { max: p.headSequence, value: p.sequence, "aria-label": `${p.name}: share of the log that is in it` }) : null);

  const columns = [
    { id: "name", label: "Projection", cell: (p) => h("strong", {}, text(p.name)) },
    { id: "state", label: "State", cell: (p) => [badge(KINDS[p.state] ?? "warn", text(p.state, "unknown", 30)), rebuild(p)] },
    { id: "sequence", label: "Sequence", num: true, cell: (p) => count(p.sequence) },
    { id: "headSequence", label: "Log head", num: true, cell: (p) => count(p.headSequence) },
    { id: "lag", label: "Lag", num: true, cell: (p) => [p.state === "live" ? count(p.lag) : h("strong", {}, `▲ ${count(p.lag)}`), h("span", { class: "sub" }, p.lagSeconds >= 1 ? duration(p.lagSeconds) : `${(p.lagSeconds ?? 0).toFixed(2)} s`)] },
    { id: "line", label: "Lag, 3 min", cell: (p) => sparkline(history.get(p.name)?.lag ?? [], `lag of ${p.name}: ${count(p.lag)} records now, at most ${count(Math.max(0, ...(history.get(p.name)?.lag ?? [0])))} in three minutes`) },
    { id: "parked", label: "Parked", num: true, cell: (p) => (p.parked > 0 ? h("strong", { class: "bad", title: "records set aside; see rollcall parked" }, `✖ ${count(p.parked)}`) : "0") },
    { id: "version", label: "Version", cell: (p) => text(p.version, "–", 24) },
    { id: "bucket", label: "Bucket", cell: (p) => ident(p.bucket) },
  ];

  function ingestPart() {
    return h("section", { key: "ingest", "aria-labelledby": "ingest-h" }, h("h2", { id: "ingest-h" }, "Ingest"),
      figures(figure("Log head", count(heads.at(-1)?.n ?? 0)), figure("Records a second", rates.length ? (rates.at(-1)).toFixed(1) : "–"), figure("Most in 3 min", rates.length ? Math.max(...rates).toFixed(1) : "–")),
      h("div", { class: "wide-spark" }, sparkline(rates, `records a second: ${rates.length ? rates.at(-1).toFixed(1) : "none"} now`)),
      h("p", { class: "note" }, "Refusals, duplicates and latencies are on the operators' port: /metrics, rollcall_ingest_…"));
  }

  function render() {
    const bad = items.filter((p) => kind(p) === "bad").length;
    const behind = items.filter((p) => p.state !== "live").length;
    return [
      h("div", { class: "title", key: "title" }, h("h1", {}, "Pipeline"), h("p", { class: "summary" }, !loaded ? "" : bad ? badge("bad", `${bad} of ${items.length} need a look`) : behind ? badge("warn", `${behind} of ${items.length} behind`) : badge("good", "all up to date"))),
      h("div", { class: "filters", key: "filters" }, csv("/v1/projections", {}, "projections.csv")),
      state({ loading: !loaded, error, retry: load, empty: loaded && !items.length ? "No projection is known. Is a project target running?" : null }),
      items.length ? table({ caption: "Projections", columns, rows: items, key: (p) => p.name }) : null,
      loaded ? ingestPart() : null,
    ];
  }

  const timer = setInterval(() => document.hidden || load(), EVERY);
  signal.addEventListener("abort", () => clearInterval(timer));
  load();
  return { title: () => "Pipeline", render, reload: load };
}
