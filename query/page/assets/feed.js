// The change feed: server-sent events read by fetch, since EventSource can't
// send a token. Resumes with Last-Event-ID; a dropped connection leaves no gap.

import { address, request } from "./api.js";

const SILENCE = 60000;          // longer than the server's heartbeats: the connection is dead
const HIDDEN = 60000;           // a tab hidden this long closes its connection: a browser has six per server
const FIRST_RETRY = 300;
const LAST_RETRY = 8000;

// feed calls onChanges with lists of {view, key, sequence}, and onState with
// {state: "connected" | "stale", since}; onReset where keys that are shown may be gone.
export function feed({ onChanges, onReset, onState }) {
  let lastID = "";
  let retry = FIRST_RETRY;
  let wake = () => {};
  let connected = null;

  const say = (now) => {
    if (connected === now) return;
    connected = now;
    onState({ state: now ? "connected" : "stale", since: Date.now() });
  };

  async function once() {
    const cut = new AbortController();
    let lastSeen = Date.now();
    const watch = setInterval(() => Date.now() - lastSeen > SILENCE && cut.abort(), 5000);
    const offline = () => cut.abort();
    let hiding = 0;
    const hide = () => {
      clearTimeout(hiding);
      if (document.hidden) hiding = setTimeout(offline, HIDDEN);
    };
    addEventListener("offline", offline);
    document.addEventListener("visibilitychange", hide);
    hide();
    try {
      const more = lastID ? { "Last-Event-ID": lastID } : {};
      const answer = await request(address("/v1/changes"), { accept: "text/event-stream", signal: cut.signal, more });
      // This server does not know the position: start without one. The view is reloaded anyway.
      if (answer.status === 400) lastID = "";
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      say(true);
      retry = FIRST_RETRY;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = lines();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        lastSeen = Date.now();
        const changes = [];
        let reset = false;
        for (const e of parser(value)) {
          if (e.id !== undefined) lastID = e.id;
          if (e.retry) retry = e.retry;
          if (e.event === "change" && e.data) changes.push(JSON.parse(e.data));
          reset ||= e.event === "reset";
        }
        if (reset) onReset();
        else if (changes.length) onChanges(changes);
      }
    } finally {
      clearInterval(watch);
      clearTimeout(hiding);
      removeEventListener("offline", offline);
      document.removeEventListener("visibilitychange", hide);
      cut.abort();
    }
  }

  async function run() {
    for (;;) {
      try {
        await once();
      } catch {
        // The badge shows it; the next try follows.
      }
      say(false);
      await new Promise((done) => {
        wake = done;
        // Nobody looks at a hidden tab: it comes back when it is shown.
        if (!document.hidden) setTimeout(done, retry * (0.7 + 0.6 * Math.random()));
      });
      retry = Math.min(LAST_RETRY, retry * 2);
    }
  }
  addEventListener("online", () => wake());
  document.addEventListener("visibilitychange", () => document.hidden || wake());
  run();
}

// lines cuts a stream of text into events, as the HTML standard says: fields up
// to an empty line; a line may end in CR, LF or both.
export function lines() {
  let rest = "";
  let event = {};
  return (chunk) => {
    const out = [];
    const all = (rest + chunk).split(/\r\n|\n|\r(?!$)/);
    rest = all.pop();
    for (const line of all) {
      if (line === "") {
        if (event.data !== undefined || event.id !== undefined) out.push({ event: "message", ...event });
        event = {};
        continue;
      }
      if (line.startsWith(":")) continue;
      const [, name, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
      if (name === "data") event.data = event.data === undefined ? (value ?? "") : `${event.data}\n${value ?? ""}`;
      else if (name === "retry") event.retry = /^\d+$/.test(value) ? Number(value) : undefined;
      else if (name === "id" || name === "event") event[name] = value ?? "";
    }
    return out;
  };
}
