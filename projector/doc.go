// Package projector drives a fold over the log into a view.
//
//	Source ──reader──▶ mailbox ──fold──▶ cache, dirty entities ──commit──▶ Store
//	          decodes   bounded   one goroutine owns all state     one at a time
//
// # Order of effects
//
// A window gathers what changed: at most 20 ms when live, up to a bound of
// entities in catch-up. Then the changed documents, the parts of their states
// and the checkpoint are stored in one fenced atomic batch, while
// the fold goes on with the next window. Only what is stored counts as done: a
// projector that dies folds again from the checkpoint, and since a fold is
// idempotent, nothing is counted twice.
//
// # Who writes
//
// One process at a time holds a generation's [Lease]; others stand by, and take
// over when it is released (at once) or not renewed (within 5 s). The lease is
// advisory. The fence makes a stale writer harmless: each commit names
// the revision of the checkpoint that it follows, and a take-over writes the
// checkpoint, with a higher epoch, before it reads anything.
//
// # Failure
//
// A commit that fails may have happened, so the checkpoint is read again. It is the
// new one (go on), the one before (retry), of another epoch (fenced: discard
// all state, stand by), or older than what this process stored
// ([ErrLostView]: take over again, and fold from what is left). Without an answer
// for 30 s the lease is released. An idle view is checked every 5 s.
// A read that is interrupted is retried without end, and shows as lag.
//
// A record on which a fold panics, or that makes a value too large,
// is parked: folding restarts at the checkpoint without it, it is stored
// beside the view with its error, and the entity says since when it misses
// something, see [Degradable]. An entity that fails without a record to blame
// stays as it is stored, and its records are parked. Anything that would make a view
// wrong ends Run with an error that names the command to run.
//
// # What an operator's commands call
//
//	serve       New, Projector.Run: follows the live generation, and those
//	            that are ready or retired, if its fold made them. ErrVersion
//	            says that a rebuild is due (--auto-rebuild: call Rebuild, then Run)
//	rebuild     Rebuild; Progress for the bar; ErrBusy, ErrAborted, eventlog.ErrTrimmed
//	promote     Promote, ForcePromote: after Rebuild with Hold
//	rollback    Rollback, ForceRollback: the generation retired last becomes
//	            live again. ErrBehind: nobody has followed it
//	drop        Drop: removes retired and failed generations
//	abort       Abort: removes the one being made; its Rebuild ends with ErrAborted
//	verify      Verify: Differences; exit code 5 if there are any
//	--repair    Repair(…, Verified.Differences)
//	parked      viewstore.Reader.Parked for list and show, RetryParked, DropParked
//	status      viewstore.Reader.Alias, Checkpoint, Generations, Parked
//
// Registry is viewstore.Store, Viewer is viewstore.Reader. All but Verify need
// the right to write the view. Repair, RetryParked and DropParked take the lease
// from the projector for a moment and release it.
//
// # Generations
//
//	staging ──▶ catching-up ──▶ ready ──promote──▶ live ──▶ retired ──drop──▶ gone
//	   └────────────┴─────────────┴──abort──▶ gone   ▲──rollback──┘
//
// A generation that fails while it is not live is retried after 5 s, then less
// often, up to once a minute; if the live one fails, Run ends. Status.Waiting names
// what log or store have not answered for 5 s: then the projector is not live.
//
// The alias alone decides which generation is live, and one fenced write moves it,
// with the entry of the one that it names, which nobody may be dropping; other
// entries follow. Until a generation has caught up nobody reads
// it, so it is written in bulk: an entity once it was left alone for a while, and
// the checkpoint before the first change that is not stored yet. That is safe
// since a fold is idempotent.
//
// # What leaves the view
//
// With Config.MaxAge a horizon moves forward, and entities that were over before
// it are replaced by a mark: see [Aging] and ADR 0019. All folding into a stored
// view, by a projector, a rebuild, Verify or Repair, uses the checkpoint's horizon.
//
// # Memory
//
// Entities that are stored may leave the cache, least recently used first, and
// are read again when they are needed. Entities that wait for a commit stay, and
// stop the fold when they are too many.
//
// A rebuild drops an entity once it is written because nothing has changed it for
// ColdAfter records, unfinished sessions too, and does not fold further ahead of a
// slow store than 3 × ColdAfter: what it holds follows from the traffic of so
// many records, within twice CacheBytes, and not from the length of the log.
package projector
