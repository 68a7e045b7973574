// Titles of sessions, for what knows only their ids: read for what is shown, a
// meeting at a time, each once.

import { all } from "./api.js";

const CAP = 200;        // sessions of one meeting

export function titles({ draw, signal }) {
  const known = new Map();
  const asked = new Set();

  const read = (meetingId) => all("/v1/sessions", { meetingId }, { signal, cap: CAP }).then(({ items }) => {
    for (const s of items) known.set(s.sessionId, s.title ?? s.roomName);
  }, () => {}); // without a title the id is shown

  return {
    of: (sessionId) => known.get(sessionId) ?? null,
    // want reads the titles of documents with a sessionId and a meetingId.
    want(documents) {
      const fresh = documents.filter((d) => d.sessionId && d.meetingId && !asked.has(d.sessionId));
      if (!fresh.length) return;
      for (const d of fresh) asked.add(d.sessionId);
      Promise.all([...new Set(fresh.map((d) => d.meetingId))].map(read)).then(draw);
    },
  };
}
