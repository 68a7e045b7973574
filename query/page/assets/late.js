// How late a record is: received minus the time inside it that says when it happened.

import { h } from "./dom.js";
import { duration, millis } from "./format.js";
import { text } from "./ui.js";

const LATE = 60;        // seconds

// A fact's name, and where its time stands in the body.
const FACTS = {
  __proto__: null,
  "meeting.started": ["start", (b) => b.meeting?.startedAt],
  "meeting.ended": ["end", (b) => b.meeting?.endedAt],
  "meeting.participantJoined": ["join", (b) => b.participant?.joinedAt],
  "meeting.participantLeft": ["leave", (b) => b.participant?.leftAt],
  "meeting.chatSynced": ["end", (b) => b.endedAt],
  "provider.participant": ["connection, from the provider's API", (b) => b.data?.left_at ?? b.data?.leftAt ?? b.data?.joined_at ?? b.data?.joinedAt],
  "provider.session": ["end, from the provider's API", (b) => b.data?.ended_at ?? b.data?.endedAt],
};

const fact = (r) => FACTS[r.type];

// happened is that time; what is no text is no time.
function happened(r) {
  const at = fact(r)?.[1](r.body ?? {});
  return typeof at === "string" ? at : null;
}

// late is how many seconds passed until a record was received; null: it doesn't say.
function late(r) {
  const at = millis(happened(r));
  const got = millis(r.receivedAt);
  return at === null || got === null ? null : (got - at) / 1000;
}

export const isLate = (r) => late(r) > LATE;

// delay shows that.
export function delay(r) {
  const d = late(r);
  if (d === null) return text(null);
  return h("span", { class: d > LATE ? "late" : null, title: "received minus happened" }, d > LATE ? `▲ ${duration(d)}` : `${d < 10 ? d.toFixed(1) : Math.round(d)} s`);
}

// lateFacts are records with what they say and when that happened; of those that say
// the same of the same connection only the one received first.
export function lateFacts(records) {
  const first = new Map();
  for (const r of records) {
    const at = happened(r);
    if (at === null) continue;
    const key = JSON.stringify([r.type, r.peerId ?? null, at]);
    const had = first.get(key);
    if (!had || r.receivedAt < had.receivedAt) first.set(key, { ...r, at, what: fact(r)[0] });
  }
  return [...first.values()].sort((a, b) => (a.receivedAt < b.receivedAt ? -1 : 1));
}
