// Loading again without piling up: one load at a time, one more if something
// came in meanwhile, and never more than a fixed share of the time.

// refresher returns a function that runs load(soonest) now if nothing runs, else
// once more afterwards. After a load that took t, the next waits t, at least rest
// and at most 2 s, so that a flood of changes costs half of the time, not all.
export function refresher(load, { rest = 0 } = {}) {
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

// unescaped returns the id that a key's part stands for, or null where it is a
// hash, from which the id can't be told.
export function unescaped(part) {
  return /^h_[0-9a-f]{64}$/.test(part) ? null : part;
}
