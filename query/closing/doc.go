// Package closing keeps a month's usage as it was at a sequence, and says what has
// changed since.
//
//	views usage, recordings ──Make──▶ Closing ──Store.Save──▶ KV bucket closings
//	                                     │                        │ Store.Load
//	log up to the sequence ──Replay──────┴──Compare──▶ what differs, by session
//
// # What is kept
//
// The finest rows: what each session adds to each day of the month, by organizer and
// meeting ([projections.UsageRow] with all groups). Coarser rows are sums of them,
// and a comparison needs nothing but them and the rows of today. A recording without
// a session counts under none.
//
// # Durability
//
// Closings lie in a stream of their own, KV_closings, independent of the generations
// of views: no rebuild, drop or salvage of a view touches it. Rows are in parts of at
// most 384 KiB; they and the index, which lists all closings, are written in one
// atomic batch that names the index that it follows. So there is a closing whole or
// not at all, and two that are made at once can't both replace the index. The bucket
// refuses new values when it is full, and forgets none.
//
// # Verification
//
// A closing names the log and the sequence of each view that it was made from. [Replay]
// folds the log up to there, in as many passes as the memory needs; the result must
// give the same rows.
package closing
