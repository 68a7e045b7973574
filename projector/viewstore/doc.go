// Package viewstore keeps views in JetStream KV buckets, and reads them.
//
// A generation of a view is one stream, KV_<view>_g<N>, managed as a stream:
//
//	$KV.<bucket>.<key>                         documents, what KV readers see
//	rollcall.state.<bucket>.e.<entity>.<part>  what a fold keeps besides them
//	rollcall.state.<bucket>.parked.<sequence>  records that were left out
//	rollcall.state.<bucket>.checkpoint         how far all of this is
//	rollcall.state.<bucket>.takeover.<id>      who wrote it, up to where
//
// The bucket "rollcall" holds alias.<view>, which generation is live,
// generation.<view>.<N>, what each generation is, and lease.<bucket>, who writes it.
//
// # Writing
//
// [Store] implements projector.Store. A commit is one atomic batch whose last
// message is the checkpoint, which expects the revision of the checkpoint
// before; another one expects the marker of this process's take-over. A stale
// writer's whole batch is refused, also by a stream that lost its tail or was made
// again. A commit beyond the server's limit of 1,000 messages is several batches,
// each with those fences, the checkpoint in the last. After a commit of the live generation each changed
// key is published once on rollcall.views.<view>.<key>.
//
// # Order
//
// A process may die between any two messages. Folding then goes on from the
// checkpoint in the stream, and the fold gets records again that it has already
// folded. So documents are stored before the state that knows of them, parked
// records before the entities that lack them, and settled ones are removed last.
// Bulk writing keeps that order, each message expecting the one before it, and a
// carry copies all subjects in the order in which they were written.
//
// # Reading
//
// [Reader] needs no rights beyond reading. [Reader.Get] and [Reader.All] answer
// from the live generation. [Reader.Follow] yields a view and then its
// changes: a message on the checkpoint's subject ends each commit, and what lies
// between two of them belongs together. Deleted keys leave a marker for
// [MarkerTTL], so a follower that was away for longer begins again. So does one
// that can't prove, by the marker of the take-over that it knows, that the stream
// holds what it has read: see past and ADR 0021. All reading is by wire.Reader.
package viewstore
