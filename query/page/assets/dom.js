// Elements, made without markup: h describes one, patch makes the page agree
// with a list of descriptions and touches only what differs, so that scroll,
// focus and selection stay. Nothing here or elsewhere parses HTML.

import { tick } from "./clock.js";

const KIDS = Symbol("kids");   // on an element: what its children were drawn from
const SVG = new Set(["svg", "g", "path", "rect", "line", "polyline"]);
const NONE = Object.freeze({});

// h describes an element. props.key names it among its siblings; on… are
// handlers; style is an object; init(el) runs once when it is made, and where it
// is given without children, what lies below is the init's own business.
export function h(tag, props, ...children) {
  props ??= NONE;
  return { tag, key: props.key, props, children: flat(children, []) };
}

function flat(list, out) {
  for (const c of list) {
    if (Array.isArray(c)) flat(c, out);
    else if (c !== null && c !== undefined && c !== false && c !== true) out.push(typeof c === "object" ? c : String(c));
  }
  return out;
}

// patch makes parent's children agree with the descriptions.
export function patch(parent, ...children) {
  const focused = document.activeElement;
  patchChildren(parent, flat(children, []));
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

function patchChildren(parent, next) {
  const had = parent[KIDS];
  if (!had) parent.replaceChildren();
  const keyed = new Map();
  const loose = [];
  for (const k of had ?? []) {
    if (k.v.key !== undefined) keyed.set(k.v.key, k);
    else loose.push(k);
  }
  let from = 0;
  const now = next.map((v) => {
    let k;
    if (v.key !== undefined) {
      k = keyed.get(v.key);
      if (k && k.v.tag === v.tag) keyed.delete(v.key);
      else k = undefined;
    } else {
      const i = loose.findIndex((l, at) => at >= from && l && l.v.tag === v.tag);
      if (i >= 0) {
        k = loose[i];
        loose[i] = null;
        from = i + 1;
      }
    }
    if (!k) return { v, node: make(v) };
    if (k.v !== v) update(k.node, k.v, v);
    return { v, node: k.node };
  });
  for (const k of keyed.values()) k.node.remove();
  for (const k of loose) k?.node.remove();
  let at = parent.firstChild;
  for (const { node } of now) {
    if (node === at) at = at.nextSibling;
    else if (at && at.nextSibling === node) {
      // One node is missing here, the rest has not moved: it is inserted where
      // its turn comes.
      at = node.nextSibling;
      place(parent, node.previousSibling, null);
    } else place(parent, node, at);
  }
  parent[KIDS] = now;
}

// place moves a node; where the browser can, without it losing focus or scroll.
function place(parent, node, before) {
  if (parent.moveBefore && node.parentNode === parent) parent.moveBefore(node, before);
  else parent.insertBefore(node, before);
}

function make(v) {
  if (typeof v === "string") return document.createTextNode(v);
  const el = SVG.has(v.tag) ? document.createElementNS("http://www.w3.org/2000/svg", v.tag) : document.createElement(v.tag);
  if (v.children.length) patchChildren(el, v.children);
  for (const name in v.props) set(el, name, v.props[name], undefined);
  v.props.init?.(el);
  return el;
}

function update(node, old, v) {
  if (typeof v === "string") {
    if (node.data !== v) node.data = v;
    return;
  }
  if (v.children.length || old.children.length) patchChildren(node, v.children);
  for (const name in old.props) if (!(name in v.props)) set(node, name, undefined, old.props[name]);
  for (const name in v.props) if (v.props[name] !== old.props[name] || name === "value" || name === "checked") set(node, name, v.props[name], old.props[name]);
}

function set(el, name, value, old) {
  if (name === "key" || name === "init") return;
  if (name.startsWith("on")) el[name] = value ?? null;
  else if (name === "value") {
    // Never overwrite what somebody is typing.
    if (el.value !== String(value ?? "") && el !== document.activeElement) el.value = value ?? "";
  } else if (name === "checked" || name === "open" || name === "disabled" || name === "selected") el[name] = Boolean(value);
  else if (name === "style") {
    for (const p in old ?? NONE) if (!value || !(p in value)) el.style.removeProperty(p);
    for (const p in value ?? NONE) if (!old || old[p] !== value[p]) el.style.setProperty(p, value[p]);
  } else if (name === "href" || name === "src") setLink(el, name, value);
  else if (value === undefined || value === null || value === false) el.removeAttribute(name);
  else {
    el.setAttribute(name, value === true ? "" : String(value));
    if (name === "data-since" || name === "data-until") tick(el, Date.now());
  }
}

// setLink takes http(s) addresses and our own only: a javascript: link is data
// that somebody sent.
function setLink(el, name, value) {
  let ok = typeof value === "string";
  if (ok) {
    try {
      ok = /^(https?|blob):$/.test(new URL(value, location.href).protocol);
    } catch {
      ok = false;
    }
  }
  if (ok) el.setAttribute(name, value);
  else el.removeAttribute(name);
}

// eachFrame returns a function that runs fn in the next animation frame, once
// however often it is called before that.
export function eachFrame(fn) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    const run = () => {
      if (!waiting) return;
      waiting = false;
      fn();
    };
    // A hidden page gets no frames; it is kept up to date all the same.
    if (document.hidden) setTimeout(run, 250);
    else requestAnimationFrame(run);
  };
}

// memo keeps descriptions of rows: an unchanged one is the same object, which
// patch passes over without looking inside.
export function memo() {
  let last = new Map();
  let now = new Map();
  return {
    row(key, inputs, build) {
      const had = last.get(key) ?? now.get(key);
      const same = had && had.inputs.length === inputs.length && had.inputs.every((x, i) => x === inputs[i]);
      const kept = same ? had : { inputs, v: build() };
      now.set(key, kept);
      return kept.v;
    },
    sweep() {
      last = now;
      now = new Map();
    },
  };
}
