// Package natslog keeps the log on NATS JetStream: one stream, MEETINGS, on
// file storage. It is the only package that knows how a [eventlog.Record]
// becomes a message, and the only one of the log's side that sees NATS errors.
//
//	Append ──▶ alone when idle ──────────────▶ publish, wait for the ack
//	   │
//	   └─▶ under load: queue ──▶ atomic batch ─▶ one ack, one sync for all
//
//	Read ──▶ checks ──▶ ephemeral consumer ──▶ records … ──▶ (server gone) ──▶ checks ──▶ …
//
// # Durability
//
// Append returns nil only after the server acknowledged the record. With a
// server that syncs always, as the program's embedded one, the record is then
// on disk; what it means elsewhere is said by [Info.Durability]. An error
// wraps [eventlog.ErrUnavailable] and means that the outcome is unknown: the
// record may be in the log. Whoever tries again with the same delivery uuid
// and body within the duplicate window gets the first record's answer.
//
// # Identity
//
// The message id (Nats-Msg-Id) is the base64 of [eventlog.RepeatSum], and is
// set only where the delivery had a uuid: the body alone is no key. A repeat is
// answered with the sequence and event id of the record in the log. The window
// costs the server about 170 bytes of memory an id, and at a restart about 2 s
// per million ids: 10 minutes at 1,000 deliveries a second are 100 MB.
//
// # Order and group commit
//
// A sync-always server stores about 3,000 single messages a second however
// many publish, and syncs an atomic batch once. So: a lone append is published
// at once by its caller, and what arrives while a publish is under way is
// gathered into the next atomic batch. One write is in flight at a time. A
// record that is a repeat would have the server refuse its whole batch
// (10201), so recent ids are kept in memory, and a refused batch is published
// again one by one. The outcome of a batch whose ack did not come is settled by
// reading the log behind the last sequence known before it.
//
// # Failure
//
// Read notices, at each consumer it makes and each record it gets, that the
// stream was created anew ([eventlog.ErrIncarnation]), that it ends before or
// holds another record at the last one read ([eventlog.ErrLostTail]) and that
// the next record is gone ([eventlog.ErrTrimmed]). JetStream itself would go on
// silently in all three cases. A server that is away is waited for.
package natslog
