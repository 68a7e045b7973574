// The roster of a session: its participants, kept up to date by loading those
// that changed, not all 5,000 for one who came in.

import { all, id } from "./api.js";
import { unescaped } from "./refresh.js";

const SINGLES = 8;      // more changed participants than this are loaded as the whole list

const order = (a, b) => ((a.firstJoinedAt ?? "") < (b.firstJoinedAt ?? "") ? -1 : (a.firstJoinedAt ?? "") > (b.firstJoinedAt ?? "") ? 1 : a.participantId < b.participantId ? -1 : 1);

export function roster(sessionId, signal) {
  const path = `/v1/sessions/${id(sessionId)}/participants`;
  const dirty = new Set();
  let people = [];
  let whole = true;

  // keep adopts documents; an equal one stays the same object, so that its row
  // and its bars aren't made again.
  function keep(list) {
    const known = new Map(people.map((p) => [p.participantId, p]));
    people = list.map((p) => {
      const had = known.get(p.participantId);
      return had && (had === p || equal(had, p)) ? had : p;
    });
  }

  // one loads a participant's document in this session, or undefined where it is
  // gone: an id that no connection has any more.
  async function one(participantId, params) {
    try {
      const { items, more } = await all(`/v1/participants/${id(participantId)}/sessions`, { ...params, sort: "-firstJoinedAt", limit: 100 }, { signal, cap: 100 });
      const found = items.find((p) => p.sessionId === sessionId);
      if (!found && more) whole = true;
      return found;
    } catch (err) {
      if (err.status === 404) return undefined;
      throw err;
    }
  }

  return {
    list: () => people,
    // touch marks a key of view attendance as changed.
    touch(key) {
      const known = unescaped(key.slice(key.indexOf(".") + 1));
      if (known === null) whole = true;
      else dirty.add(known);
    },
    all: () => (whole = true),
    // load brings the list up to date; moment is {asOf} or nothing.
    async load(params, moment = {}) {
      const changed = [...dirty];
      const few = !whole && !moment.asOf && changed.length <= SINGLES;
      dirty.clear();
      whole = Boolean(moment.asOf);
      try {
        if (!few) return keep((await all(path, { sort: "firstJoinedAt", ...params, ...moment }, { signal })).items);
        const found = await Promise.all(changed.map((p) => one(p, params)));
        if (whole) return keep((await all(path, { sort: "firstJoinedAt", ...params }, { signal })).items);
        if (!changed.length) return;
        const others = new Set(changed);
        keep([...people.filter((p) => !others.has(p.participantId)), ...found.filter(Boolean)].sort(order));
      } catch (err) {
        whole = true;
        throw err;
      }
    },
    clear() {
      people = [];
      whole = true;
    },
  };
}

const texts = new WeakMap();
function textOf(p) {
  let text = texts.get(p);
  if (!text) {
    // The history of a person has the session beside; it is no part of the document here.
    const { session: _, ...document } = p;
    texts.set(p, (text = JSON.stringify(document)));
  }
  return text;
}
const equal = (a, b) => textOf(a) === textOf(b);
