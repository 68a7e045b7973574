// Package viewstore keeps views in JetStream KV buckets, and reads them.
//
// A generation of a view is one stream, KV_<view>_g<N>, managed as a stream:
//
//	$KV.<bucket>.<key>                         documents, what KV readers see
//	rollcall.state.<bucket>.e.<entity>.<part>  what a fold keeps besides them
//	rollcall.state.<bucket>.parked.<sequence>  records that were left out
//	rollcall.state.<bucket>.checkpoint         how far all of this is
//
// The bucket "rollcall" holds alias.<view>, which generation is in force, and
// lease.<bucket>, who writes it.
//
// # Writing
//
// [Store] implements projector.Store. A commit is one atomic batch whose last
// message is the checkpoint, which expects the revision of the checkpoint
// before: a stale writer's whole batch is refused. A commit beyond the server's
// limit of 1,000 messages is several batches, each with that fence, the
// checkpoint in the last. After a commit of the generation in force each changed
// key is published once on rollcall.views.<view>.<key>.
//
// # Reading
//
// [Reader] needs no rights beyond reading. [Reader.Get] and [Reader.All] answer
// from the generation in force. [Reader.Follow] yields a view and then its
// changes: a message on the checkpoint's subject ends each commit, and what lies
// between two of them belongs together. Deleted keys leave a marker for
// [MarkerTTL], so a follower that was away for longer begins anew.
package viewstore
