// The frame: routes, the connected badge, theme, token, and the one change feed
// that the open view listens to.

import { onTokenWanted, token } from "./api.js";
import { attendance } from "./attendance.js";
import { startClock } from "./clock.js";
import { closings } from "./closings.js";
import { eachFrame, h, patch } from "./dom.js";
import { feed } from "./feed.js";
import { clock } from "./format.js";
import { list } from "./list.js";
import { live } from "./live.js";
import { livestreams } from "./livestreams.js";
import { people } from "./people.js";
import { person } from "./person.js";
import { pipeline } from "./pipeline.js";
import { recordings } from "./recordings.js";
import { session } from "./session.js";
import { usage } from "./usage.js";
import { state } from "./ui.js";

// No name of an address is a member that every object has.
const VIEWS = { __proto__: null, live, session, attendance, people, person, recordings, livestreams, usage, closings, pipeline, list };
const NAV = [["live", "Live"], ["attendance", "Attendance"], ["people", "People"], ["recordings", "Recordings"], ["livestreams", "Livestreams"], ["usage", "Usage"], ["pipeline", "Pipeline"]];
const HOME = { __proto__: null, session: "live", person: "people", closings: "usage", list: "pipeline" };
const MINUTE = 60000;

const main = document.getElementById("main");
let open = null;      // {address, view, stop}

// route reads "#/name/arg?key=value".
function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...args] = path.split("/");
  const decode = (s) => {
    try {
      return decodeURIComponent(s);
    } catch {
      return s;
    }
  };
  return { name: VIEWS[name] ? name : "live", args: args.map(decode), params: new URLSearchParams(query) };
}

function show() {
  const { name, args, params } = route();
  if (open && open.address === location.hash) return;
  open?.stop.abort();
  const stop = new AbortController();
  const page = document.createElement("div");
  page.className = `view ${name}`;
  main.replaceChildren(page);
  const mine = { address: location.hash, stop, view: null };
  const draw = eachFrame(() => {
    if (stop.signal.aborted) return;
    document.title = `${mine.view.title()} · Rollcall`;
    patch(page, guarded(mine.view));
  });
  // set keeps a view's filters in the address, so that it can be passed on.
  const set = (values) => {
    const q = new URLSearchParams(route().params);
    for (const [k, v] of Object.entries(values)) v === null || v === "" ? q.delete(k) : q.set(k, v);
    history.replaceState(null, "", `#/${[name, ...args.map(encodeURIComponent)].join("/")}${q.size ? `?${q}` : ""}`);
    mine.address = location.hash;
    draw();
  };
  const first = !open;
  mine.view = VIEWS[name]({ args, params, draw, set, signal: stop.signal });
  open = mine;
  draw();
  nav(name);
  scrollTo(0, 0);
  if (!first) main.focus({ preventScroll: true });
}

// guarded keeps one view's defect from leaving an empty page.
function guarded(view) {
  try {
    return view.render();
  } catch (err) {
    console.error(err);
    return state({ error: err, retry: () => location.reload() });
  }
}

function nav(name) {
  const here = HOME[name] ?? name;
  patch(document.getElementById("nav"), NAV.map(([id, label]) => h("a", { key: id, href: `#/${id}`, "aria-current": id === here ? "page" : null }, label)));
  // On a phone the list of views is wider than the window. scrollIntoView would make
  // this link where the Tab key goes on from, past the skip link.
  const list = document.getElementById("nav");
  const [link, box] = [list.querySelector("[aria-current]"), list].map((e) => e.getBoundingClientRect());
  list.scrollLeft += link.left + link.width / 2 - box.left - box.width / 2;
}

// find leads from the header's search, which stands above every view, to the people.
// Where there is little room a button opens it.
function find() {
  const form = document.getElementById("find");
  form.ontoggle = (e) => e.newState === "open" && form.elements.q.focus();
  form.onsubmit = (e) => {
    e.preventDefault();
    form.hidePopover();
    location.hash = `#/people?${new URLSearchParams({ q: form.elements.q.value.trim() })}`;
    form.reset();
  };
}

function badge({ state: now, since }) {
  const el = document.getElementById("feed");
  el.className = `feed ${now}`;
  patch(el, h("span", { "aria-hidden": "true", class: "mark" }, now === "connected" ? "●" : "▲"),
    h("span", {}, now === "connected" ? "connected" : `stale since ${clock(since)}, reconnecting`));
}

// theme cycles through what the system says, light and dark.
function theme() {
  const button = document.getElementById("theme");
  const apply = (t) => {
    if (t === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = t;
    button.textContent = `Theme: ${t}`;
    dispatchEvent(new Event("themechange"));
  };
  let now = localStorage.getItem("rollcall.theme") ?? "auto";
  apply(now);
  button.onclick = () => {
    now = { auto: "light", light: "dark", dark: "auto" }[now] ?? "auto";
    localStorage.setItem("rollcall.theme", now);
    apply(now);
  };
}

// askForToken shows a dialog until a token is given; the request that wanted it
// goes on, and asks again if the token is refused.
function askForToken() {
  return new Promise((done) => {
    const box = document.createElement("dialog");
    box.className = "ask";
    box.setAttribute("aria-labelledby", "ask-title");
    let value = "";
    const give = (e) => {
      e.preventDefault();
      if (!value.trim()) return;
      token.set(value.trim());
      box.close();
    };
    patch(box, h("form", { method: "dialog", onsubmit: give }, h("h2", { id: "ask-title" }, "This server asks for a token"),
      h("p", {}, "It stays in this tab and is forgotten when the tab is closed."),
      h("label", { class: "field" }, h("span", {}, "Bearer token"), h("input", { type: "password", name: "token", autocomplete: "off", required: true, oninput: (e) => (value = e.currentTarget.value) })),
      h("button", { type: "submit" }, "Go on")));
    box.onclose = () => {
      if (!token.get()) return box.showModal();
      box.remove();
      done();
    };
    document.body.append(box);
    box.showModal();
  });
}

function start() {
  theme();
  find();
  startClock();
  onTokenWanted(askForToken);
  addEventListener("hashchange", show);
  document.querySelector(".skip").onclick = (e) => {
    e.preventDefault();
    main.focus();
  };
  show();
  feed({
    onChanges: (changes) => open.view.changed?.(changes),
    onReset: () => open.view.reload?.(),
    onState: (s) => {
      badge(s);
      // Between a view's first load and the line's first word, and while it was cut,
      // things changed: what is open is loaded again, and from here on nothing is missed.
      if (s.state === "connected") open.view.reload?.();
    },
  });
  // What needs a clock (stale, stuck, expiring) changes without an event.
  setInterval(() => document.hidden || open.view.reload?.(), MINUTE);
}

start();
