// The moment that a session is shown as known at: a slider over received time, from
// the record that began it to the latest, with the session's own time beside it.

import { all } from "./api.js";
import { h } from "./dom.js";
import { clock, duration, millis } from "./format.js";
import { badge, when } from "./ui.js";

const CAP = 5000;
const LATEST = Date.UTC(9999, 11, 31); // that can be asked for

// The types that begin a session; before the first of them nothing is known of it.
const BEGINS = new Set(["meeting.started", "meeting.participantJoined", "meeting.participantLeft", "meeting.ended", "meeting.chatSynced", "meeting.transcript", "provider.session"]);

// A record is in what was known a millisecond after it was received: our times have microseconds.
const known = (r) => millis(r.receivedAt) + 1;

// moment is that control. onPick is called when another moment was chosen.
export function moment({ path, params, set, signal, onPick }) {
  const asked = Number(params.get("asOf"));
  let at = asked > 0 && asked <= LATEST ? asked : null;     // ms
  let times = null;         // when each record was received, in order, from the first that began the session
  let reading = null;

  // read loads the times, once they are needed. Who may read no records gets none.
  const read = () => (reading ??= all(`${path}/events`, {}, { signal, cap: CAP }).then(({ items }) => {
    const first = Math.min(...items.filter((r) => BEGINS.has(r.type)).map(known));
    times = items.map(known).filter((t) => t >= first).sort((a, b) => a - b);
  }, () => (times = [])));

  async function pick(choose) {
    await read();
    if (signal.aborted) return;
    const ms = choose();
    at = ms === null ? null : Math.max(times[0] ?? ms, Math.round(ms));
    set({ asOf: at });
    onPick();
  }

  // passed is cut to whole seconds, as the clock beside it.
  const passed = (ms) => duration(Math.floor(ms / 1000));

  // inside says where in the session's own time a moment is.
  function inside(session, ms) {
    const start = millis(session.startedAt);
    const end = millis(session.endedAt);
    if (ms < start) return `${passed(start - ms)} before the session's start`;
    return end !== null && ms > end ? `${passed(ms - end)} after the session's end` : `${passed(ms - start)} into the session`;
  }

  function render(session) {
    const started = millis(session.startedAt) ?? Date.now();
    const first = times?.[0] ?? started;
    const last = Math.max(first + 1000, session.status === "LIVE" ? Date.now() : millis(session.lastEventAt) + 1);
    const value = at ?? last;
    const whole = (ms) => (ms >= last ? null : ms);
    const place = (ms) => `${Math.min(100, Math.max(0, ((ms - first) / (last - first)) * 100))}%`;
    const [from, to] = [place(started), place(millis(session.endedAt) ?? last)];
    return h("section", { class: "moment", key: "moment", "aria-labelledby": "moment-h" }, h("h2", { id: "moment-h" }, "As known at"),
      h("div", { class: "slide" },
        h("button", { type: "button", disabled: times !== null && value <= first, onclick: () => pick(() => times.findLast((t) => t < value) ?? first), "aria-label": "one record back" }, "◀"),
        h("div", { class: "range" },
          h("input", { type: "range", id: "asof", min: first, max: last, step: Math.max(1, Math.min(1000, Math.round((last - first) / 500))), value, "aria-label": "as known at, by received time", "aria-valuetext": at ? `${clock(at)}, ${inside(session, at)}` : "now",
            onfocus: read, oninput: (e) => {
            const ms = whole(Number(e.currentTarget.value));
            pick(() => ms);
          } }),
          h("span", { class: "ran", "aria-hidden": "true", title: "the session ran", style: { left: from, width: `calc(${to} - ${from})` } })),
        h("button", { type: "button", onclick: () => pick(() => whole(times.find((t) => t > value) ?? last)), "aria-label": "one record on", disabled: at === null }, "▶"),
        h("output", { for: "asof" }, at ? h("span", { class: "then" }, when(new Date(at).toISOString())) : "now"),
        h("button", { type: "button", disabled: at === null, onclick: () => pick(() => null) }, "Back to now")),
      h("p", { class: "sub" }, at ? [`From the records received up to then; ${inside(session, at)} by the session's own time.`] : "From all records received so far. The slider goes by when they were received; the line below it is when the session ran."));
  }

  // before reports that nothing was known yet, and says so.
  const before = () => at !== null && times?.length && at < times[0];

  return {
    render,
    at: () => at,
    // ready waits until it is known whether there is anything to ask for; once it is, later
    // records don't change that.
    ready: () => (at === null || times?.length ? null : read()),
    before,
    nothing: () => (before() ? h("p", { class: "note", key: "gone" }, badge("idle", "unknown"), " Nothing was known about this session at that time: its first record was received at ", when(new Date(times[0] - 1).toISOString()), ".") : null),
    // changed forgets the times: there are more records.
    changed: () => (reading = null),
  };
}
