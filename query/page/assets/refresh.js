// Reloading without piling up: one load at a time, one more if something
// came in meanwhile, and never more than a fixed share of the time.

// refresher returns a function that runs load(soonest) now if nothing runs, else
// once more afterwards. After a load that took t, the next waits t, at least rest
// and at most 2 s, so that a flood of changes costs half of the time, not all.
function refresher(load, { rest = 0 } = {}) {
  let running = false;
  let again = false;
  let earliest = 0;
  const run = async () => {
    running = true;
    again = false;
    const wait = earliest - performance.now();
    if (wait > 0) await new Promise((done) => setTimeout(done, wait));
    again = false;
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
  return () => {
    if (running) again = true;
    else run();
  };
}

// loader reads for a view, and keeps how that went: loaded once a read succeeded,
// error while the last one failed. failed may look at an error, and returns what is
// shown of it; null: nothing. A view that is closed draws no more.
export function loader(read, { draw, signal, rest = 0, failed = (err) => err }) {
  const self = { loaded: false, error: null };
  self.load = refresher(async () => {
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
  return self;
}

// unescaped returns the id that a key's part stands for, or null where it is a
// hash, from which the id can't be derived.
export function unescaped(part) {
  return /^h_[0-9a-f]{64}$/.test(part) ? null : part;
}
