// The read API: JSON in, errors that say what to do next, and the bearer token
// where one is asked for.

const TOKEN = "rollcall.token";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  set: (t) => sessionStorage.setItem(TOKEN, t),
  drop: () => sessionStorage.removeItem(TOKEN),
};

// onTokenWanted is set by the page: it asks the reader, and answers when there is one.
let askForToken = () => new Promise(() => {});
export function onTokenWanted(ask) {
  let asking = null;
  askForToken = () => (asking ??= ask().finally(() => (asking = null)));
}

export function headers(more) {
  const t = token.get();
  return t ? { ...more, Authorization: `Bearer ${t}` } : { ...more };
}

// HERE is the path that the page is served below, with a slash at its end: a reverse
// proxy may put it elsewhere than at /.
const HERE = new URL(".", document.baseURI).pathname;

// address is a path of the API as a URL.
export function address(path, params) {
  path = HERE + path.slice(1);
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(params ?? {})) if (v !== undefined && v !== null && v !== "") q.set(k, v);
  const s = q.toString();
  return s ? `${path}?${s}` : path;
}

// DOTS are ids that a browser takes out of a path, however they are escaped, in
// the form that keys of views have.
const DOTS = {
  __proto__: null,
  ".": "h_cdb4ee2aea69cc6a83331bbe96dc2caa9a299d21329efb0336fc02a82e1839a8",
  "..": "h_5ec1f7e700f37c3d0b2981d04855fc34b94aaa15457b05ca571817442d228f81",
};

// id escapes one path segment.
export const id = (s) => DOTS[s] ?? encodeURIComponent(s);

// request sends a GET, and again with a token when one is asked for.
export async function request(url, { signal, accept = "application/json", more } = {}) {
  for (;;) {
    const used = token.get();
    let answer;
    try {
      answer = await fetch(url, { headers: headers({ Accept: accept, ...more }), signal, cache: "no-store" });
    } catch (err) {
      if (err.name === "AbortError") throw err;
      throw new ApiError(0, "The server can't be reached. The page retries automatically.");
    }
    if (answer.status !== 401) return answer;
    if (token.get() === used) {
      token.drop();
      await askForToken();
    }
  }
}

// get reads one document; sequence is how far its view is.
export async function get(path, params, options) {
  const answer = await request(address(path, params), options);
  if (!answer.ok) throw await problem(answer);
  return { body: await answer.json(), sequence: Number(answer.headers.get("Rollcall-Sequence") ?? 0) };
}

async function problem(answer) {
  let text = answer.statusText || "error";
  try {
    const p = await answer.json();
    text = p.detail ?? p.title ?? text;
  } catch {
    // No problem document: the status has to do.
  }
  return new ApiError(answer.status, `${text} (HTTP ${answer.status})`);
}

// all reads a list page by page, up to cap items; more reports that there are others.
export async function all(path, params, { signal, cap = 10000 } = {}) {
  const items = [];
  let cursor = null;
  let sequence = 0;
  do {
    const { body } = await get(path, { limit: Math.min(1000, cap), ...params, cursor }, { signal });
    items.push(...body.items);
    cursor = body.nextCursor;
    sequence ||= body.asOf?.sequence ?? 0;
  } while (cursor && items.length < cap);
  return { items, sequence, more: Boolean(cursor) };
}

// save downloads what needs a token; a plain link can't send one.
export async function save(url) {
  const answer = await request(url, { accept: "text/csv" });
  if (!answer.ok) throw await problem(answer);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition"))?.[1] ?? "";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
