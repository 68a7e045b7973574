// Package projector drives a fold over the log into a view.
//
//	Source ──reader──▶ mailbox ──fold──▶ cache, dirty entities ──commit──▶ Store
//	          decodes   bounded   one goroutine owns all state     one at a time
//
// # Order of effects
//
// A window gathers what changed: at most 20 ms when live, up to a bound of
// entities in catch-up. Then the changed documents, the parts of the states
// behind them and the checkpoint are stored in one fenced atomic batch, while
// the fold goes on with the next window. Only what is stored counts as done: a
// projector that dies folds again from the checkpoint, and since a fold may meet
// its own effects again, nothing is counted twice.
//
// # Who writes
//
// One process at a time holds a generation's lease; others stand by, and take
// over when it is given back (at once) or not renewed (within 5 s). The lease is
// a courtesy. What makes a stale writer harmless is the fence: each commit names
// the revision of the checkpoint that it follows, and a take-over writes the
// checkpoint, with a higher epoch, before it reads anything.
//
// # Failure
//
// A commit that fails may have happened. The checkpoint is read again and says
// which: mine (go on), the one before (try again), another epoch (fenced: drop
// everything held, stand by). A read that breaks off is tried again for ever, and
// shows as lag. A record on which a fold panics, or that makes a value too large,
// is parked: folding begins again at the checkpoint without it, it is stored
// beside the view with its error, and the entity says since when it misses
// something, see [Degradable]. What would make a view wrong ends Run with an
// error that names the command to run.
//
// # Memory
//
// Entities that are stored may leave the cache, least recently used first, and
// are read again when they are needed. Entities that wait for a commit stay, and
// stop the fold when they are too many.
package projector
