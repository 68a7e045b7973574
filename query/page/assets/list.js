// List: any view as a plain table, drawn from what the API says of it. A view
// without a page of its own is shown here.

import { all, get } from "./api.js";
import { h } from "./dom.js";
import { count, duration, flatText } from "./format.js";
import { loader } from "./refresh.js";
import { csv, state, table, text, when } from "./ui.js";

const CAP = 1000;
const SCALARS = new Set(["string", "number", "integer", "boolean"]);

// scalar is the type of a member that fits a cell, null for lists and objects.
const scalar = (schema) => [schema.type].flat().find((t) => SCALARS.has(t)) ?? null;

// shown is a member's value, by its type and its name's unit.
function shown(name, schema, value) {
  if (value === null || value === undefined) return h("span", { class: "none" }, "–");
  if (schema.format === "date-time") return when(value);
  if (name.endsWith("Seconds")) return duration(value);
  return typeof value === "number" ? count(value) : text(String(value), "–", 60);
}

// itemOf is the schema of a list's items in the API's own description.
function itemOf(api, path) {
  const resolve = (s) => (s?.$ref ? resolve(s.$ref.split("/").slice(1).reduce((at, part) => at?.[part], api)) : s);
  const answer = resolve(api.paths[path]?.get?.responses?.["200"]?.content?.["application/json"]?.schema);
  return resolve(resolve(answer?.properties?.items)?.items);
}

export function list({ args: [view], draw, signal }) {
  const path = `/v1/${encodeURIComponent(view ?? "")}`;
  let columns = null;            // null: not known yet; empty: the view has no list
  let items = [];
  let more = false;
  let limit = 100;
  let at = 0;

  const reading = loader(async () => {
    columns ??= columnsOf(itemOf((await get("/openapi.json", null, { signal })).body, path));
    if (columns.length) ({ items, more } = await all(path, { minSequence: at || null, wait: at ? "5s" : null }, { signal, cap: CAP }));
  }, { draw, signal, rest: 400 });

  function columnsOf(schema) {
    return Object.entries(schema?.properties ?? {}).filter(([, s]) => scalar(s)).map(([name, s]) => ({
      id: name, label: name, num: ["number", "integer"].includes(scalar(s)), cell: (row) => shown(name, s, row[name]),
    }));
  }

  const none = () => (columns?.length ? "This view is empty so far." : "This view has no list: its documents are read by session.");

  function render() {
    return [
      h("div", { class: "title", key: "title" }, h("h1", {}, text(view, "–", 60)), h("p", { class: "summary" }, reading.loaded ? `${count(items.length)} listed` : "")),
      columns?.length ? h("div", { class: "filters", key: "filters" }, csv(path, {})) : null,
      state({ loading: !reading.loaded, error: reading.error, retry: reading.load, empty: reading.loaded && !items.length ? none() : null }),
      items.length ? table({ caption: `View ${flatText(view)}`, columns, rows: items, key: (row) => columns.slice(0, 2).map((c) => row[c.id]).join(" "), limit, onMore: (n) => {
        limit = n;
        draw();
      } }) : null,
      more ? h("p", { class: "note", key: "cap" }, `The first ${count(CAP)} are listed; the CSV file has all.`) : null,
    ];
  }

  function changed(changes) {
    const mine = changes.filter((c) => c.view === view);
    if (!mine.length) return;
    at = Math.max(at, ...mine.map((c) => c.sequence));
    reading.load();
  }

  reading.load();
  return { title: () => flatText(view ?? "List"), render, changed, reload: reading.load };
}
