// Package replica is a copy of the views in an embedded SQLite file, which can be
// asked anything.
//
//	view buckets ──Follow──▶ follower (one a view) ──▶ writer ──▶ SQLite file
//	                                                     │ commit
//	                                                     ▼
//	          Read ──▶ wait for what is needed ──▶ read transaction ──▶ Snapshot: List, Rows, Query, Changes
//
// It knows no view: a [Table] says which values of a view's documents stand beside
// them, and how they are extracted.
//
// [Replica] is a cache: it may be deleted at any time, and a file of another schema
// is. Several processes have one each. A row is a document as the projector stored
// it, its values beside it as columns for filters and sorting. What a commit changed
// goes into one transaction together with the place in the bucket's stream and the
// log sequence that the view holds, so every read transaction sees whole commits and
// knows how far they are.
//
// A view that begins again (another generation, a reader that was away for too
// long) is loaded into tables beside the current ones. They are switched in the
// transaction that ends the load: nobody reads an empty view or half of one.
//
// # Order and failure
//
// One goroutine writes. [Progress] is published after its transaction, and wakes
// those who wait for a record; nothing polls. Following breaks off on errors and
// resumes at the stored place. The outcome of a transaction is in the database
// alone until it is committed, so that one that meets a full disk is retried as it
// was.
//
// # Damage
//
// The copy is made again from the views, so nothing about it may end a process. A
// row carries a checksum of all its columns, which is checked whenever an answer is
// made of it: a damaged row is an error, and its view is loaded again. A file that
// SQLite calls corrupt, or that is gone, is wiped and loaded again. Now and then an
// audit compares all rows with the views, and has SQLite check the indexes.
// [Replica.Waiting] says what it waits for.
package replica
