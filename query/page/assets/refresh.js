// Reloading without piling up: one load at a time, one more if something
// came in meanwhile, and never more than a fixed share of the time.

// refresher returns soon, which runs load() now if nothing runs, else once more
// afterwards, and now, which is for what a person asked for. After a load that took
// t, soon waits t, at least rest and at most 2 s, so that a flood of changes costs
// half of the time, not all; now waits for the load that runs alone.
function refresher(load, { rest = 0 } = {}) {
  let running = false;
  let again = false;
  let urgent = false;
  let earliest = 0;
  let wake = () => {};
  const run = async () => {
    running = true;
    const wait = urgent ? 0 : earliest - performance.now();
    if (wait > 0) await new Promise((done) => { wake = done; setTimeout(done, wait); });
    again = urgent = false;
    const from = performance.now();
    try {
      await load();
    } finally {
      const took = performance.now() - from;
      earliest = performance.now() + Math.min(2000, Math.max(rest, took));
      running = false;
      if (again) run();
    }
  };
  const soon = () => {
    if (running) again = true;
    else run();
  };
  const now = () => {
    urgent = true;
    soon();
    wake();
  };
  return { soon, now };
}

// loader reads for a view, and keeps how that went: loaded once a read succeeded,
// error while the last one failed. failed may look at an error, and returns what is
// shown of it; null: nothing. A view that is closed draws no more. load is for changes,
// now for what a person chose.
export function loader(read, { draw, signal, rest = 0, failed = (err) => err }) {
  const self = { loaded: false, error: null };
  const { soon, now } = refresher(async () => {
    try {
      await read();
      self.loaded = true;
      self.error = null;
    } catch (err) {
      if (signal.aborted) return;
      self.error = failed(err);
    }
    draw();
  }, { rest });
  return Object.assign(self, { load: soon, now });
}

// unescaped returns the id that a key's part stands for, or null where it is a
// hash, from which the id can't be derived.
export function unescaped(part) {
  return /^h_[0-9a-f]{64}$/.test(part) ? null : part;
}
