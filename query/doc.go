// Package query is the read side: a copy of the views that can be asked
// anything, the HTTP API, the same questions over NATS, and the change feed.
//
//	view buckets ──Follow──► follower (one a view) ──► writer ──► SQLite file
//	                                                     │ commit
//	                                                     ▼
//	HTTP, NATS micro ──► route ──► wait(minSequence) ──► read transaction ──► answer
//	the log ◄── events, asOf (the real folds over one meeting's slice)
//
// # The replica
//
// [Replica] is a cache: it may be deleted at any time, and a file of another
// schema version is. Several processes have one each. A row is a document as the
// projector stored it, its scalar fields beside it as columns for filters and
// sorting. What a commit changed goes into one transaction together with the
// place in the bucket's stream and the log sequence that the view holds, so
// every read transaction sees whole commits and knows how far they are.
//
// A view that begins anew (another generation, a reader that was away for too
// long) is loaded into tables beside those in force. They are switched in the
// transaction that ends the load: nobody reads an empty view or half of one.
//
// # Order and failure
//
// One goroutine writes. States are published after their transaction, and wake
// those who wait for minSequence; nothing polls. Following breaks off on errors
// and resumes at the stored place. What a transaction has come to is in the
// database alone until it is committed, so that one that meets a full disk is
// tried again as it was.
//
// # Damage
//
// The replica is made again from the views, so nothing about it may end a
// process. A row carries a checksum of all its columns, held against them
// whenever an answer is made of it: a row that is damaged is a 503, and its view
// is loaded again. A file that SQLite calls corrupt, or that is gone, is wiped and
// loaded again. Now and then an audit holds all rows against the views, and has
// SQLite check the indexes. [Replica.Waiting] says what it waits for.
//
// # The API
//
// What the read side adds to a view, its id, filters and indexes, is one value,
// in view_<name>.go; the fields come from beside its fold. A table of routes, most
// of which follow from these, says which parameters a path takes, which views it needs
// and which fields its documents have. Parsing, refusal of what is unknown,
// sorting, CSV and the OpenAPI document all follow from it, so they can't drift
// apart. Fields that need a clock or another view are added when asked for; a
// stored document goes out byte for byte.
//
// # Trust
//
// Everybody who may read may read everything; see docs/GUARANTEES.md. Stream keys
// are masked in every answer.
package query
