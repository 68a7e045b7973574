package projector

import (
	"context"
	"errors"
	"iter"
	"time"

	"rollcall/eventlog"
)

// Projection is a fold that a Projector drives. See [eventlog.Fold] for its laws.
type Projection = eventlog.Fold

// Degradable is a State that shows that records are missing from it. Like Apply
// both are total, and the next Flush writes what they changed.
type Degradable interface {
	// Park says that a record received at that time was left out. The state
	// keeps the earliest.
	Park(at eventlog.Time)
	// Unpark says that none is missing any more.
	Unpark()
}

// Source is the log as a projector reads it. Its methods may be called
// concurrently. Errors that wrap [eventlog.ErrTrimmed], [eventlog.ErrIncarnation]
// or [eventlog.ErrLostTail] end the projector, others are tried again.
type Source interface {
	// Head says where the log begins and ends, and which log it is.
	Head(ctx context.Context) (eventlog.Head, error)
	// Record returns one record, or eventlog.ErrNotFound.
	Record(ctx context.Context, seq eventlog.Seq) (eventlog.Record, error)
	// Read yields records in the order of their sequence, without a gap. It ends
	// with eventlog.ErrLostTail where the record before the next one is not the one
	// that was read, or that opts.AfterStoredAt names.
	Read(ctx context.Context, opts eventlog.ReadOptions) iter.Seq2[eventlog.Record, error]
}

// Sentinels of a Store. An error that wraps none of them leaves the outcome of
// a Commit unknown.
var (
	// ErrFenced: another process writes the generation now. Nothing of the refused
	// commit was stored, except batches that went before.
	ErrFenced = errors.New("another projector has taken over")
	// ErrVersion: the stored generation was made by another version of the fold.
	ErrVersion = errors.New("view was made by another version of its fold")
	// ErrSettings: the store exists with settings that can't hold a view.
	ErrSettings = errors.New("unsuitable settings")
	// ErrState: a stored state can't be read.
	ErrState = errors.New("corrupt state")
	// ErrLostView: the view's store lost what this writer has committed, as it may
	// after a power cut, a restore, a purge or a deletion. The lease is over; the
	// next one folds again from whatever checkpoint is stored then.
	ErrLostView = errors.New("the view's store lost what was committed")
	// ErrTooLarge: a value that the store can't hold.
	ErrTooLarge = errors.New("value too large")
)

// LeaseRequest says which generation a process wants to write, and how it waits.
type LeaseRequest struct {
	// View and Version are the fold's.
	View, Version string
	// Generation is the one to write; 0 is the live one, and makes the
	// first one if the view has none.
	Generation int
	// Steal takes the lease from its holder at once, for short work such as a
	// repair. The holder is fenced, and waits.
	Steal bool
	// MaxWait bounds the wait for a lease that another process holds, after which Acquire
	// returns ErrBusy; 0: no bound. A lease whose holder died expires within 5 s.
	MaxWait time.Duration
	// OnStandby, if set, is called once when another process holds the
	// lease and Acquire begins to wait.
	OnStandby func(holder string)
}

// Checkpoint says how far a generation is. It is stored in the same atomic
// batch as what it covers.
type Checkpoint struct {
	// Incarnation is the log's, "" before the first record.
	Incarnation string `json:"incarnation"`
	// Sequence is the last log sequence that the view holds, and StoredAt the
	// time at which the log stored that record.
	Sequence eventlog.Seq `json:"sequence"`
	StoredAt time.Time    `json:"storedAt"`
	// Epoch counts the take-overs of this generation.
	Epoch uint64 `json:"epoch"`
	// Commit names the commit, uniquely within the generation and Takeover.
	Commit string `json:"commit"`
	// Parked counts the records that were kept aside.
	Parked int `json:"parked"`
	// Horizon: what was over before it is no longer in the view, see [Aging].
	// Sweeping, if set, is the next horizon: what was over between the two may be
	// there or not.
	Horizon  eventlog.Time `json:"horizon,omitzero"`
	Sweeping eventlog.Time `json:"sweeping,omitzero"`
	// Previous is the commit that this one followed, and Documents how many
	// documents it changed. The store fills both in: they let a follower see
	// that it has missed nothing.
	Previous  string `json:"previous"`
	Documents int    `json:"documents"`
	// Takeover is the random id of the take-over that the commit belongs to. The
	// store fills it in: epochs and commit ids are reused if a store lost its
	// tail, this is not.
	Takeover string `json:"takeover,omitempty"`
}

// GenerationWriter reads and writes one generation, until it is fenced or its lease
// is released. Its methods may be called concurrently, Commit excepted.
type GenerationWriter interface {
	// Load returns the stored parts of each entity, in the order of the
	// entities; none for an entity that was never stored. ErrLostView as for
	// Checkpoint.
	Load(ctx context.Context, entities []string) ([][]Part, error)
	// Commit stores c. On return without an error all of it is durable and
	// visible. ErrFenced: a stale writer. ErrTooLarge: nothing was stored.
	// ErrLostView as for Checkpoint. Any other error: unknown, ask Checkpoint.
	Commit(ctx context.Context, c *Commit) error
	// Checkpoint reads the stored checkpoint, never an older one than the last
	// that Commit stored. ErrLostView: the store has only an older one, or none,
	// for certain; a replica that lags is another error.
	Checkpoint(ctx context.Context) (Checkpoint, error)
	// Entities yields every entity that has a part of that name, and had it when
	// the call began, with the part; an entity may come again.
	Entities(ctx context.Context, part string) iter.Seq2[EntityPart, error]
}

// Lease is one process's right to write one generation, with what the generation
// held when it was acquired.
type Lease struct {
	GenerationWriter
	Bucket     string
	Generation int
	Checkpoint Checkpoint
	// Empty is set where the generation holds no entity yet.
	Empty  bool
	Parked []Parked
	// Lost is closed when another process is found to hold the lease.
	Lost <-chan struct{}
	// Release ends the lease, so that a standby takes over at once.
	Release func(ctx context.Context) error
}

// Store keeps the views of projectors.
type Store interface {
	// Acquire blocks until this process may write the generation that c names,
	// then raises the epoch, so that nobody else can write it any more, and
	// reads the checkpoint. It returns ErrVersion without waiting.
	Acquire(ctx context.Context, c LeaseRequest) (*Lease, error)
}

// Part is one stored part of an entity's state.
type Part struct {
	Name  string
	Value []byte
}

// EntityPart is a stored part with the entity it belongs to.
type EntityPart struct {
	Entity string
	Value  []byte
}

// Put is a document to store under Key, or to delete where Value is nil.
type Put struct {
	Key   string
	Value []byte
}

// EntityWrite is what one entity changed since its last commit. A commit that
// does not fit into one batch stores the documents of an entity before its
// parts, and parts in the order given, so that an entity whose commit broke off
// is folded again from parts that know nothing of the documents.
type EntityWrite struct {
	Entity    string
	Documents []Put
	// Parts to store; a nil Value deletes the part.
	Parts []Part
	// Fresh says that the store holds nothing of the entity yet, so that Parts
	// are all that there are.
	Fresh bool
	// Replace says that Parts are all that the entity shall have: the store
	// removes others.
	Replace bool
}

// Commit is everything that one window changed.
type Commit struct {
	Checkpoint Checkpoint
	Entities   []EntityWrite
	// Park are records to keep aside, Unpark those that are not any more.
	Park   []Parked
	Unpark []eventlog.Seq
	// Bulk says that nobody reads the generation yet: the store may write
	// faster than in atomic batches, as long as the checkpoint comes last.
	Bulk bool
}

// Parked is a record that was left out of a view because its fold failed.
type Parked struct {
	Sequence   eventlog.Seq  `json:"sequence"`
	EventID    string        `json:"eventId"`
	Type       string        `json:"type"`
	ReceivedAt eventlog.Time `json:"receivedAt"`
	// Entity is what the record folds into; "" where not even that is known.
	Entity string `json:"entity"`
	// Error is why, on one line, ParkedAt when by our clock.
	Error    string    `json:"error"`
	ParkedAt time.Time `json:"parkedAt"`
}

// maxKey bounds a view key, in bytes.
const maxKey = 512

// ValidKey reports whether a store can hold a document under key: tokens of
// [A-Za-z0-9_=/-], none empty, between dots. Folds escape ids, so a key that is
// not valid is a bug in one.
func ValidKey(key string) bool {
	if key == "" || len(key) > maxKey || key[len(key)-1] == '.' {
		return false
	}
	dot := true
	for i := range len(key) {
		c := key[i]
		switch {
		case c == '.':
			if dot {
				return false
			}
			dot = true
			continue
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '=', c == '/':
		default:
			return false
		}
		dot = false
	}
	return true
}

// validPart is the rule of eventlog.Writer's PutPart.
func validPart(part string) bool {
	if part == "" || len(part) > 32 {
		return false
	}
	for i := range len(part) {
		c := part[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
