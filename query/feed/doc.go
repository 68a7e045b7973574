// Package feed is the change feed: what changes in the views, as server-sent events.
//
//	replica commits ──▶ every client wakes ──▶ changes after its place, read once for all at that place ──▶ events
//	                                            id: bucket:revision:take-over of each view, good at every process
//
// A client reads the replica's tables, which hold the latest change of each key by
// revision, so a slow one costs no memory and skips what was overtaken. All feeds
// together are sent a bounded number of events a second.
//
// # Resuming
//
// An event's id says how far the client is in each view. A revision alone proves
// nothing, so it comes with the take-over that wrote it: where this replica knows
// another past, or has forgotten the deletes since, the client gets a reset event
// and all keys again. Where this replica lags, it is given some time first.
package feed
