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
// Append returns nil only after the server acknowledged the record and, with
// Config.StoreDir, after its file was synced. With a sync-always server the
// record is then on disk too; [Info.Durability] says what it means elsewhere. A
// sync that fails is final: the system may have dropped what it could not
// write, so nothing is promised until a restart. An error wraps
// [eventlog.ErrUnavailable] and means that the outcome is unknown: the record
// may be in the log. Whoever tries again with the same delivery uuid and body
// within the duplicate window gets the first record's answer.
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
// A server that syncs always stores a few thousand single messages a second,
// however many publish. A lone append is published at once by its caller, and
// what arrives while a publish is under way is gathered into the next one. One
// is in flight at a time. What a group is depends on whose disk it is:
//
//   - Config.StoreDir, the server in our own program: the server syncs lazily,
//     and the records of a group are published one after the other. When all are
//     acknowledged, which is when they are written to the newest block file, that
//     file is synced here, and only then is anybody answered: one sync a group,
//     and none of an atomic batch's own cost. See disk.go for what this relies on.
//   - An external server: up to BatchConfig.Singles records go one by one, more
//     as one atomic batch, which a sync-always server syncs once. A record that is
//     a repeat would have the server refuse the whole batch (10201), so recent ids
//     are kept in memory, and a refused batch is published again one by one. The
//     outcome of a batch whose ack did not come is settled by reading the log
//     after the last sequence known before it.
//
// # Failure
//
// Read notices, at each consumer it makes and each record it gets, that the
// stream was created again ([eventlog.ErrIncarnation]), that it ends before or
// holds another record at the last one read ([eventlog.ErrLostTail]) and that
// the next record is gone ([eventlog.ErrTrimmed]) or can't be read
// ([eventlog.ErrDamaged]). JetStream itself would go on silently in all these
// cases. A server that is away is waited for.
package natslog
