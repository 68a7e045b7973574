// Titles of sessions, for what knows only their ids: read for what is shown, a
// meeting at a time, each once.

import { all } from "./api.js";

const CAP = 200;        // sessions of one meeting
const AT_ONCE = 2;      // of the six connections that a browser has to a server

export function titles({ draw, signal }) {
  const known = new Map();
  const asked = new Set();
  const waiting = new Set();    // meetings
  let reading = 0;

  const read = (meetingId) => all("/v1/sessions", { meetingId }, { signal, cap: CAP }).then(({ items }) => {
    for (const s of items) known.set(s.sessionId, s.title ?? s.roomName);
  }, () => {}); // without a title the id is shown

  // some reads one meeting after the other: many at once would keep the view's own
  // requests waiting.
  async function some() {
    reading++;
    for (const meetingId of waiting) {
      if (signal.aborted) break;
      waiting.delete(meetingId);
      await read(meetingId);
      draw();
    }
    reading--;
  }

  return {
    of: (sessionId) => known.get(sessionId) ?? null,
    // want reads the titles of documents with a sessionId and a meetingId.
    want(documents) {
      const fresh = documents.filter((d) => d.sessionId && d.meetingId && !asked.has(d.sessionId));
      if (!fresh.length) return;
      for (const d of fresh) {
        asked.add(d.sessionId);
        waiting.add(d.meetingId);
      }
      while (reading < AT_ONCE && waiting.size) some();
    },
  };
}
