// What a participant's document says of one session, in cells and words: the
// sheet, a person's history and the page of one stay share it.

import { h } from "./dom.js";
import { count, duration, millis, percent } from "./format.js";
import { badge, field, text, when } from "./ui.js";

// closing says how a participant's last connection ended.
export function closing(p) {
  if (p.present) return badge("good", "still in");
  const by = p.connections.reduce((last, c) => (!last || (c.leftAt ?? "") > (last.leftAt ?? "") ? c : last), null)?.closedBy;
  return by === "MEETING_END" ? badge("warn", "meeting end", "no leave was seen; the meeting's end closed it") : badge("idle", "left");
}

const connectionList = (p) => h("details", {}, h("summary", {}, count(p.connections.length + (p.connectionsOmitted ?? 0))), h("ul", {}, p.connections.map((c) => h("li", { key: c.peerId }, when(c.joinedAt), " to ", c.leftAt ? when(c.leftAt) : "now", c.closedBy === "MEETING_END" ? " (meeting end)" : "", ", ", c.leftAt ? duration(c.seconds) : "still in"))));

// gapList has all times away; where the list of connections is not whole, only the longest is known.
function gapList(p) {
  if (!p.longestGapSeconds) return h("span", { class: "none" }, "–");
  if (!p.gaps?.length) return `longest ${duration(p.longestGapSeconds)}`;
  const one = p.gaps.length === 1;
  return [h("details", {}, h("summary", {}, one ? duration(p.longestGapSeconds) : count(p.gaps.length)), h("ul", {}, p.gaps.map((g) => h("li", { key: g.from }, when(g.from), " to ", when(g.to), ", ", duration(g.seconds))))),
    one ? null : h("span", { class: "sub" }, `longest ${duration(p.longestGapSeconds)}`)];
}

// share is the part of the session that was attended, as a bar and a figure.
const share = (p) => (p.attendanceRatio === null || p.attendanceRatio === undefined ? text(null) : h("span", { class: "ratio" }, h("span", { class: "track", "aria-hidden": "true" }, h("span", { class: "fill", style: { width: `${p.attendanceRatio * 100}%` } })), percent(p.attendanceRatio)));

const SHARE = "The time attended as a part of the time from the session's start to its end, at most 100 %. It is not known before the end.";

// sheetColumns serve the sheet and a person's history.
export const sheetColumns = [
  { id: "firstJoinedAt", label: "First join", sort: (p) => millis(p.firstJoinedAt), cell: (p) => when(p.firstJoinedAt) },
  { id: "lastLeftAt", label: "Last leave", sort: (p) => millis(p.lastLeftAt), cell: (p) => (p.present ? h("span", { class: "none" }, "in") : when(p.lastLeftAt)) },
  { id: "closedBy", label: "Closed by", cell: closing },
  { id: "attendedSeconds", label: "Attended", num: true, help: "Time with at least one connection: two devices at once count once. Connections count when they are closed, up to the session's end.", sort: (p) => p.attendedSeconds, cell: (p) => h("strong", {}, duration(p.attendedSeconds)) },
  { id: "connectedSeconds", label: "Connected", num: true, help: "The sum over all connections, two devices at once count twice: what providers bill.", sort: (p) => p.connectedSeconds, cell: (p) => duration(p.connectedSeconds) },
  { id: "connections", label: "Connections", num: true, sort: (p) => p.connections.length, cell: connectionList },
  { id: "longestGapSeconds", label: "Gaps", num: true, help: "Times away between two connections, that no other connection covers.", sort: (p) => p.longestGapSeconds, cell: gapList },
  { id: "attendanceRatio", label: "% of session attended", num: true, help: SHARE, sort: (p) => p.attendanceRatio, cell: share },
];

// threshold is a filter on the share, kept in the address as the API takes it.
export function threshold({ params, set }) {
  const self = { least: Number(params.get("attendedAtLeast")) || null };
  const change = (percent) => {
    self.least = percent === "" ? null : Math.min(100, Math.max(0, Number(percent))) / 100 || null;
    set({ attendedAtLeast: self.least });
  };
  // A share that is not known yet is not at least anything.
  self.lets = (p) => self.least === null || (p.attendanceRatio ?? -1) >= self.least;
  self.control = () => field("Attended at least, %", h("input", { type: "number", min: "0", max: "100", step: "1", value: self.least === null ? "" : Math.round(self.least * 1000) / 10, oninput: (e) => change(e.currentTarget.value) }));
  return self;
}
