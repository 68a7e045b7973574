// Package wire is what the log and the views share of JetStream's protocol: one
// reader of a stream that goes on where it was, requests to a stream's leader,
// atomic batches and the answers to publishes, and the oldest server that knows them.
//
// # A reader that proves its past
//
//	┌▶ watch the connection ─▶ make a consumer after After ──▶ Begin: is this the
//	│                                                     same past? │yes   │no: End
//	│                                                                ▼
//	└── break: connection, consumer, gap ◀── Take, Take, Take … After moves
//
// JetStream does not keep a reader from going on in another history: a stream that
// lost its tail reuses sequences, and one that was deleted and made again has the
// name of the old one. A consumer that starts at a sequence starts there in any
// of them. So [Reader] makes the consumer first and then calls [Reader.Begin],
// which compares the stream with what the reader knows of it. The
// order matters: what changes after Begin breaks the consumer, or shows in what it
// delivers. Each message must name the stream and the consumer that are read,
// since others may have the server send to an inbox that they know, and the
// deliveries of a consumer must be numbered without a gap.
//
// Whatever breaks, the next consumer starts after the last message taken. The
// consumers are ephemeral, without acknowledgments, in memory, one replica: they
// cost the server little, and it removes them by itself.
package wire
