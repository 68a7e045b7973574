// Package history answers from the log itself: its records, which of them belong
// to a session, and what a session looked like at an earlier moment.
//
//	request ──▶ Reader ──▶ pass (shared by all who want the same part) ──▶ the log
//	              │             each record ──▶ every request of the pass
//	              ├ Records     a page of records, stream keys masked
//	              ├ Past        the real folds over the records up to a moment
//	              └ Gives       whether a part of the log holds all of a session
//
// # Cost
//
// The log may hold years. Requests for the same part share one pass, few passes
// run at once, and each pauses for as long as it works; see query/pace. Requests
// that wait for a record share one follower, and their number is bounded.
//
// # The past
//
// [Reader.Past] folds in memory, with the folds that the views are made of, so the
// answer is the document that the view held at that moment.
//
// # Secrets
//
// A record's body goes out through [MaskedBody]: every value that can be a stream
// key is replaced, in JSON within a text too.
package history
