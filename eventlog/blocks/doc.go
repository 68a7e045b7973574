// Package blocks reads and mends the files that an embedded nats-server keeps
// its streams in, while that server is stopped. It knows nothing of records and
// views: only of messages, their sequences and their checksums.
//
//	<store>/jetstream/<account>/streams/<stream>/
//	    meta.inf meta.sum   the stream's settings, and their checksum
//	    msgs/<n>.blk        messages one after the other, blocks of about 8 MB
//	    msgs/index.db       what the server knew of the blocks when it wrote it
//
// # Why
//
// The server trusts an index that fits its last block, and then looks at a
// message only when somebody reads it: one that is damaged is skipped silently.
// If the index does not fit, as after a kill, it reads all blocks, and
// cuts each of them at its first damaged byte, whatever comes after it. [Scan]
// names what is damaged, and [Mend] puts a mark in the place of each message
// that is lost, so that nothing after it is lost, and sequences have no gap.
//
// # A message in a block
//
//	length 4 (high bit: has headers) | sequence 8 (bit 63: erased, bit 62: tombstone) | stored 8 |
//	subject length 2 | subject | [header length 4 | headers] | body | checksum 8
//
// in little endian (nats-server 2.15, server/filestore.go). The checksum is
// HighwayHash-64 over sequence, time, subject, headers and body; its key is the
// SHA-256 of "<stream>-<n>". It covers no length, so those are checked by what
// they lead to. TestLayout fails when a new server writes something else.
package blocks
