// Pipeline: whether the numbers can be trusted: what comes in and what is
// refused, how far each projection is, what was set aside, what an audit found,
// how far a rebuild is, and which processes run. The server keeps the rates of
// incoming records; the lag is recorded here, from when the page was opened.

import { all, get } from "./api.js";
import { sparkline } from "./chart.js";
import { h } from "./dom.js";
import { count, duration, millis, percent } from "./format.js";
import { loader } from "./refresh.js";
import { badge, csv, elapsed, figures, ident, state, table, text, to, when } from "./ui.js";

const EVERY = 2000;
const KEEP = 90;       // points: three minutes

// The states that the API knows: live, catching-up, absent.
const KINDS = { live: "good", absent: "bad" };
// What a process does for a view, and a rebuild for its generation.
const RUNS = { live: "good", standby: "idle", failed: "bad", stopped: "bad", ready: "good" };

export function pipeline({ draw, signal }) {
  let items = [];
  let reported = null;           // what the processes report; null: the server has no such answer
  const lags = new Map();        // name → the latest lags

  const reading = loader(async () => {
    const [list, now] = await Promise.all([all("/v1/projections", {}, { signal, cap: 1000 }), get("/v1/pipeline", null, { signal }).catch(() => null)]);
    items = list.items;
    reported = now?.body ?? null;
    for (const p of items) {
      const line = lags.get(p.name) ?? [];
      line.push(p.lag ?? 0);
      if (line.length > KEEP) line.shift();
      lags.set(p.name, line);
    }
  }, { draw, signal });
  const load = reading.load;

  const audit = (p) => reported?.audits.find((a) => a.view === p.name);

  // bad reports that a row needs attention: parked records are missing in views, or
  // an audit found a difference.
  const bad = (p) => p.parked > 0 || p.state === "absent" || audit(p)?.result === "different";

  // filled shows how much of the log a projection that lags has folded.
  const filled = (p) => (p.state !== "live" && p.headSequence > 0 ? h("progress", { max: p.headSequence, value: p.sequence, "aria-label": `${p.name}: share of the log that is in it` }) : null);

  function verified(p) {
    const a = audit(p);
    if (!a) return h("span", { class: "none" }, "not yet");
    const said = { equal: ["good", "equal"], different: ["bad", `${count(a.differing)} differ`], failed: ["warn", "failed"] }[a.result] ?? ["idle", a.result];
    return [badge(said[0], said[1], "result of the last comparison with the log"), h("span", { class: "sub" }, a.result === "failed" ? "" : `${count(a.keys)} keys, `, when(a.at))];
  }

  const columns = [
    { id: "name", label: "Projection", help: "What computes one of the views, such as attendance, from the records, and how far it is. Choose its name to see the view.", cell: (p) => h("a", { class: "main", href: to("list", p.name) }, text(p.name)) },
    { id: "state", label: "State", cell: (p) => [badge(KINDS[p.state] ?? "warn", text(p.state, "unknown", 30)), filled(p)] },
    { id: "sequence", label: "Sequence", num: true, cell: (p) => count(p.sequence) },
    { id: "headSequence", label: "Log head", num: true, cell: (p) => count(p.headSequence) },
    { id: "lag", label: "Lag", num: true, cell: (p) => [p.state === "live" ? count(p.lag) : h("strong", {}, `▲ ${count(p.lag)}`), h("span", { class: "sub" }, p.lagSeconds >= 1 ? duration(p.lagSeconds) : `${(p.lagSeconds ?? 0).toFixed(2)} s`)] },
    { id: "line", label: "Lag, 3 min", cell: (p) => sparkline(lags.get(p.name) ?? [], `lag of ${p.name}: ${count(p.lag)} records now, at most ${count(Math.max(0, ...(lags.get(p.name) ?? [0])))} in three minutes`) },
    { id: "parked", label: "Parked", num: true, cell: (p) => (p.parked > 0 ? h("strong", { class: "bad", title: "records set aside; see rollcall parked" }, `✖ ${count(p.parked)}`) : "0") },
    { id: "verified", label: "Verified", cell: verified },
    { id: "version", label: "Version", cell: (p) => text(p.version, "–", 24) },
    { id: "bucket", label: "Bucket", cell: (p) => ident(p.bucket) },
  ];

  // tile is the current rate, with a line of the last three minutes.
  function tile(label, line) {
    const now = line.at(-1);
    const most = Math.max(0, ...line);
    const say = now === undefined ? "–" : now.toFixed(1);
    return h("div", { class: "figure tile", key: label }, h("dt", {}, label), h("dd", {}, say),
      h("dd", { class: "line" }, sparkline(line, `${label}: ${say} now, at most ${most.toFixed(1)} in three minutes`)));
  }

  function ingestPart() {
    const { ingest, history } = reported;
    return h("section", { key: "ingest", "aria-labelledby": "ingest-h" }, h("h2", { id: "ingest-h" }, "Incoming per second"),
      ingest.processes ? figures(tile("Records", history.map((r) => r.recordsPerSecond)), tile("Duplicates", history.map((r) => r.duplicatesPerSecond)), tile("Refused", history.map((r) => r.refusalsPerSecond)))
        : h("p", { class: "note warn" }, "▲ No ingester has reported yet."),
      ingest.processes ? h("p", { class: "summary", id: "ingest-sum" }, "Since ", ingest.processes === 1 ? "the ingester" : `the ${count(ingest.processes)} ingesters`, " started: ", h("strong", {}, count(ingest.records)), " records, ",
        h("strong", {}, count(ingest.duplicates)), " duplicates, ", h("strong", {}, count(ingest.refusals)), " refused",
        ingest.refusalsByReason.length ? [": ", ingest.refusalsByReason.map((r, i) => [i ? ", " : "", text(r.reason, "?", 40), " ", count(r.count)])] : "", ".") : null);
  }

  const rebuildColumns = [
    { id: "view", label: "View", cell: (r) => [h("strong", {}, text(r.view)), h("span", { class: "sub" }, "generation ", count(r.generation), ", ", ident(r.bucket))] },
    { id: "state", label: "State", cell: (r) => badge(RUNS[r.state] ?? "info", text(r.state, "unknown", 30)) },
    { id: "share", label: "Done", cell: (r) => [h("progress", { max: 1, value: r.share, "aria-label": `rebuild of ${r.view}` }), " ", percent(r.share)] },
    { id: "sequence", label: "Sequence", num: true, cell: (r) => [count(r.sequence), h("span", { class: "sub" }, `of ${count(r.headSequence)}`)] },
    { id: "perSecond", label: "Records per second", num: true, cell: (r) => count(Math.round(r.perSecond)) },
    { id: "eta", label: "Left", num: true, cell: (r) => (r.share >= 1 ? "–" : r.etaSeconds === null ? "unknown" : duration(Math.ceil(r.etaSeconds))) },
    { id: "elapsed", label: "Running for", num: true, cell: (r) => duration(r.elapsedSeconds) },
  ];

  // notes lists the problems, or warnings, that processes report. A lost process
  // reports nothing.
  function notes(kind, title, name) {
    const said = reported.processes.filter((p) => !p.lost).flatMap((p) => (p[name] ?? []).map((line) => [p, line]));
    if (!said.length) return null;
    return h("div", { class: `note ${kind}`, key: name, id: name, role: kind === "bad" ? "alert" : null }, h("p", {}, h("strong", {}, title)),
      h("ul", {}, said.map(([p, line]) => h("li", { key: `${p.process} ${line}` }, text(p.host, "unknown", 60), `, ${p.roles.join(", ")}: `, text(line, "", 200)))));
  }

  const processColumns = [
    { id: "host", label: "Host", cell: (p) => [text(p.host, "unknown", 60), h("span", { class: "sub" }, ident(p.process))] },
    { id: "roles", label: "Roles", cell: (p) => text(p.roles.join(", "), "nothing", 80) },
    { id: "heard", label: "Last seen", cell: (p) => (p.lost ? [badge("bad", "lost"), " ", when(p.heardAt)] : badge("good", "now")) },
    { id: "up", label: "Uptime", num: true, cell: (p) => elapsed(millis(p.startedAt)) },
    { id: "projections", label: "Projections", cell: (p) => (p.projections.length ? h("span", { class: "badges" }, p.projections.map((r) => h("span", { key: r.name }, badge(RUNS[r.state] ?? "info", text(r.name, "?", 30), r.state), r.state === "live" ? null : h("span", { class: "sub" }, text(r.state, "?", 20))))) : h("span", { class: "none" }, "–")) },
  ];

  function render() {
    const wrong = items.filter(bad).length;
    const behind = items.filter((p) => p.state !== "live").length;
    const stuck = reported?.processes.some((p) => !p.lost && p.problems?.length);
    return [
      h("div", { class: "title", key: "title" }, h("h1", {}, "Pipeline"), h("p", { class: "summary" }, !reading.loaded ? "" : wrong ? badge("bad", `${wrong} of ${items.length} need attention`) : stuck ? badge("bad", "a process needs attention") : behind ? badge("warn", `${behind} of ${items.length} behind`) : badge("good", "all up to date"),
        reading.loaded ? [" log at ", h("strong", { id: "head" }, count(Math.max(0, ...items.map((p) => p.headSequence ?? 0))))] : null)),
      state({ loading: !reading.loaded, error: reading.error, retry: load, empty: reading.loaded && !items.length ? "No projections yet. Is a process with the project target running?" : null }),
      reported ? notes("bad", "✖ Not working", "problems") : null,
      reported ? notes("warn", "▲ Unsafe configuration", "warnings") : null,
      reported ? ingestPart() : null,
      reported?.rebuilds.length ? h("section", { key: "rebuilds", "aria-labelledby": "rebuild-h" }, h("h2", { id: "rebuild-h" }, "Rebuilds under way"), table({ caption: "Rebuilds", columns: rebuildColumns, rows: reported.rebuilds, key: (r) => r.view })) : null,
      items.length ? h("section", { key: "projections", "aria-labelledby": "proj-h" }, h("div", { class: "title" }, h("h2", { id: "proj-h" }, "Projections"), csv("/v1/projections", {})), table({ caption: "Projections", columns, rows: items, key: (p) => p.name })) : null,
      reported?.processes.length ? h("section", { key: "processes", "aria-labelledby": "process-h" }, h("h2", { id: "process-h" }, "Processes"), table({ caption: "Processes", columns: processColumns, rows: reported.processes, key: (p) => p.process })) : null,
    ];
  }

  const timer = setInterval(() => document.hidden || load(), EVERY);
  signal.addEventListener("abort", () => clearInterval(timer));
  load();
  return { title: () => "Pipeline", render, reload: load };
}
