// What counts as usage, each case with its number. docs/OPERATIONS.md and
// docs/FORMAT.md say the same.

import { h } from "./dom.js";
import { count } from "./format.js";
import { table } from "./ui.js";

const CASES = [
  ["live", "LIVE sessions", "Count on the day they started. Of their connections the closed ones count, at once."],
  ["stale", "of these, ghosts (stale)", "LIVE, and nobody ended them. No more counts until an ending event comes: time that nobody closed is never guessed."],
  ["openConnections", "Open connections", "Count nothing yet. Once a leave or the session's end closes one, all of it counts, on the days that it covers."],
  ["leftAfterEnd", "Sessions cut at the end", "Somebody left after the session's end. Time counts up to the end; the rest is cut."],
  ["withoutOrganizer", "Sessions without an organizer", "Are in a row of their own, “no organizer”. Their recordings count under the organization that the recording names."],
  [null, "Two devices of a person at once", "Count twice in participant minutes, which providers bill, and once in attended minutes."],
  [null, "A recording without a start or a stop", "Counts nothing."],
];

const columns = [
  { id: "case", label: "Case", cell: ([, name]) => name },
  { id: "n", label: "Number", num: true, cell: ([id, , , cases]) => (id ? h("strong", {}, count(cases[id])) : "–") },
  { id: "what", label: "What counts", cell: ([, , what]) => what },
];

// usageCases shows the numbers in a line, and on demand what they mean.
export function usageCases(cases) {
  const n = (id, words) => [h("strong", {}, count(cases[id])), ` ${words}`];
  return h("details", { key: "cases", class: "cases", id: "cases" },
    h("summary", {}, h("strong", {}, "What counts: "), "of ", n("sessions", "sessions "), n("live", "are LIVE, "), n("stale", "of them stale, with "), n("openConnections", "open connections; "),
      n("leftAfterEnd", "are cut at their end; "), n("withoutOrganizer", "have no organizer")),
    table({ caption: "What counts as usage", columns, rows: CASES.map((c) => [...c, cases]), key: ([, name]) => name }),
    h("p", { class: "summary" }, "Sessions count on the day they started; connections and recordings are split at midnight of the time zone. The sums over any grouping are the same."));
}
