// Charts of a session: bars per connection and the step line of how many were
// present. The figures are computed here from the attendance documents, so that the
// chart and the sheet can't disagree.

import { h } from "./dom.js";
import { clock, count, day, duration, flatText, local, millis } from "./format.js";

const CLOSED = { LEFT: ["left", "left"], MEETING_END: ["end", "until the meeting ended"] };

// spans lists a participant's connections in ms: {peer, from, to, open, kind, say}.
// A document's times are read once: 5,000 people have 10,000 of them.
const parsed = new WeakMap();
export function spans(p, now) {
  let list = parsed.get(p);
  if (!list) {
    list = p.connections.map((c) => {
      const end = millis(c.leftAt);
      const [kind, say] = CLOSED[c.closedBy] ?? ["open", "still in"];
      return { peer: c.peerId, from: millis(c.joinedAt), to: end, open: end === null, kind, say };
    }).filter((s) => s.from !== null);
    parsed.set(p, list);
  }
  for (const s of list) if (s.open) s.to = now;
  return list;
}

// scale is the time that the charts cover: from the first thing to the last.
export function scale(session, participants, now) {
  let from = millis(session.startedAt) ?? now;
  let to = session.status === "LIVE" ? now : (millis(session.endedAt) ?? now);
  for (const p of participants) {
    for (const s of spans(p, from)) {
      if (s.from < from) from = s.from;
      if (!s.open && s.to > to) to = s.to;
    }
  }
  return { from, to: Math.max(to, from + 1000) };
}

// time writes a moment of a range; with its day where the range has several.
const DAY = 86400000;
const time = (ms, { from, to }) => (to - from > DAY ? local(ms) : clock(ms));

const share = (ms, { from, to }) => `${Math.min(100, Math.max(0, ((ms - from) / (to - from)) * 100)).toFixed(3)}%`;

// bars draws one participant's connections on lanes: two devices at once lie
// below each other.
export function bars(p, range, now) {
  const lanes = [];
  const drawn = spans(p, now).map((s) => {
    let lane = lanes.findIndex((end) => end <= s.from);
    if (lane < 0) lane = lanes.push(0) - 1;
    lanes[lane] = s.to;
    const left = share(s.from, range);
    const label = `${time(s.from, range)} to ${s.open ? "now" : time(s.to, range)}, ${duration((s.to - s.from) / 1000)}, ${s.say}`;
    return h("span", { key: s.peer, class: `bar ${s.kind}`, role: "img", "aria-label": label, title: `${label}, peer ${flatText(s.peer)}`, style: { left, width: `calc(${share(s.to, range)} - ${left})`, top: `${lane * 14 + 3}px` } });
  });
  return h("div", { class: "bars", style: { height: `${Math.max(1, lanes.length) * 14 + 4}px` } }, drawn);
}

// ticks are the round times on the axis, at most n.
export function ticks({ from, to }, n = 6) {
  const steps = [1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
  const step = (steps.find((s) => (to - from) / 1000 / s <= n) ?? Math.ceil((to - from) / 1000 / n / 86400) * 86400) * 1000;
  const zone = new Date(from).getTimezoneOffset() * 60000;
  const out = [];
  for (let t = Math.ceil((from - zone) / step) * step + zone; t <= to; t += step) {
    // Days begin at midnight, also after the clocks were changed.
    const moved = step > 3600000 ? new Date(t).getTimezoneOffset() * 60000 - zone : 0;
    out.push({ at: t + moved, left: share(t + moved, { from, to }), step });
  }
  return out;
}

// A tick without room to its right has no label: on a phone the last
// sixth of a chart has none.
const crowded = (left) => (parseFloat(left) > 95 ? "edge" : parseFloat(left) > 84 ? "near" : null);

export function axis(range) {
  // Of several days the first tick of each names it.
  const label = (t, i, all) => {
    if (range.to - range.from > DAY && day(t.at) !== day(all[i - 1]?.at ?? 0)) return day(t.at);
    return t.step >= 60000 ? clock(t.at).slice(0, 5) : clock(t.at);
  };
  return h("div", { class: "axis", "aria-hidden": "true" }, ticks(range).map((t, i, all) => h("span", { key: t.at, class: crowded(t.left), style: { left: t.left } }, label(t, i, all))));
}

// steps counts who was present: [{at, n}] at each change; a leave at T is before a
// join at T, empty intervals count nothing, all is cut at the end.
export function steps(session, participants, now) {
  const end = session.status === "LIVE" ? Infinity : (millis(session.endedAt) ?? Infinity);
  const changes = [];
  for (const p of participants) {
    for (const s of spans(p, now)) {
      const to = s.open ? Infinity : Math.min(s.to, end);
      if (to <= s.from) continue;
      changes.push([s.from, 1]);
      if (to !== Infinity) changes.push([to, -1]);
    }
  }
  changes.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const out = [];
  let n = 0;
  for (const [at, d] of changes) {
    n += d;
    if (out.length && out.at(-1).at === at) out.at(-1).n = n;
    else out.push({ at, n });
  }
  return out;
}

const WIDTH = 1000;
const HEIGHT = 120;

// concurrency draws the step line; beyond one step a pixel it draws each pixel's most.
export function concurrency(line, range) {
  if (!line.length) return null;
  const most = line.reduce((m, s) => (s.n > m.n ? s : m), line[0]);
  const x = (at) => ((at - range.from) / (range.to - range.from)) * WIDTH;
  const y = (n) => HEIGHT - 2 - (n / Math.max(1, most.n)) * (HEIGHT - 8);
  const points = line.length > 2 * WIDTH ? thinned(line, range) : line;
  let d = `M0,${y(0)}`;
  for (const p of points) d += `H${x(p.at).toFixed(1)}V${y(p.n).toFixed(1)}`;
  d += `H${WIDTH}`;
  const last = line.at(-1);
  const label = `Participants over time: peak ${count(most.n)} at ${time(most.at, range)}, ${count(last.n)} at the last change, ${time(last.at, range)}`;
  return h("figure", { class: "steps" },
    h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
      h("path", { class: "area", d: `${d}V${y(0)}Z` }), h("path", { class: "line", d })),
    axis(range), h("figcaption", {}, label));
}

function thinned(line, { from, to }) {
  const out = [];
  const width = (to - from) / WIDTH;
  for (const p of line) {
    const pixel = Math.floor((p.at - from) / width);
    const last = out.at(-1);
    if (last && last.pixel === pixel) last.n = Math.max(last.n, p.n);
    else out.push({ at: p.at, n: p.n, pixel });
  }
  out.push(line.at(-1));
  return out;
}

// sparkline is a small line of the latest values, with what it shows in words.
export function sparkline(values, label) {
  const most = Math.max(1e-9, ...values);
  const d = values.map((v, i) => `${i ? "L" : "M"}${((i / Math.max(1, values.length - 1)) * 100).toFixed(1)},${(23 - (v / most) * 21).toFixed(1)}`).join("");
  return h("svg", { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", role: "img", "aria-label": label }, values.length > 1 ? h("path", { class: "line", d }) : null);
}
