package eventlog

// Fold is a law that turns records into a view: which entity an event belongs
// to, and what an entity is before its first event. A Fold has no I/O, no clock
// and no goroutine. The view it makes is a function of the set of records it
// was given: their order, repeats and re-applications change no byte.
//
// The three interfaces stand here, and not with their consumer, so that the
// folds need to import nothing but this package.
type Fold interface {
	// Name is the view's name, a NATS token such as "sessions".
	Name() string
	// Version names the meaning of the fold. Its author bumps it when the same
	// records would give other documents.
	Version() string
	// Key names the entity that ev folds into; "" when it folds nothing.
	Key(ev *Event) string
	// New returns the state of an entity that has seen no event.
	New(key string) State
}

// State is one entity in memory. One goroutine owns it.
type State interface {
	// Load takes one stored part. All parts are loaded before the first Apply.
	// An error means that the stored state is corrupt.
	Load(part string, value []byte) error
	// Apply folds an event in. It is total, and idempotent: an event may come
	// again after its effect was stored. What ev points to is used again after
	// Apply has returned.
	Apply(ev *Event)
	// Flush writes what changed since the last Flush, each key once.
	Flush(w Writer)
	// Size is the memory that the state holds, in bytes, roughly.
	Size() int
}

// Writer takes what a State wants stored. Values must not be changed afterwards.
type Writer interface {
	// Put stores a document under a complete view key.
	Put(key string, document []byte)
	// Delete removes a document; deleting an unknown key does nothing.
	Delete(key string)
	// PutPart stores a part of the state, named by [a-z0-9_-]{1,32}.
	PutPart(part string, value []byte)
}
