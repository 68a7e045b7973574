// Package projections has the folds, which turn records into the views
// sessions, attendance, recordings, livestreams, artifacts and usage. They have
// no I/O, no clock and no goroutine. [Views] returns them, each with the fields
// of its documents: one list, beside the document's type, writes the JSON and
// describes it to readers. The document types and [Parse] are for whoever
// reads a view.
//
//	Event ──Apply──▶ facts (minima, maxima, firsts, sets) ──Flush──▶ documents + parts
//	                   ▲                                                      │
//	                   └────────────────── Load ◀─────────────────────────────┘
//
// # The law
//
// A view is a function of the set of records. That holds by construction: all
// that a state remembers is merged by operations that are commutative,
// associative and idempotent (the earliest time, the latest time, a logical or,
// the text of the least (received time, event id), the highest rank, a union of
// sets), and a document is computed from the merged facts alone. So the order of
// records, repeats, batches, restarts and re-applied records can't matter.
//
// What a running sum would get wrong is therefore never summed from events: it is
// summed from facts, and a fact that changes is taken out in its old form and put
// in in its new one, in whole numbers.
//
// # Repeats
//
// A repeat counts once, with the earliest received time. Minima need
// nothing for that; the latest received time (lastEventAt) and the livestreams'
// transitions need to know each delivery, so those states keep the set of them.
//
// # Cost
//
// An entity's state lies in parts: "core" for what it has once, "p<n>" for 16
// peers each, "d<n>" for 64 deliveries, "b<n>" for 64 livestream deliveries,
// "s<n>" for 16 recording statuses. A join or a leave changes one peer, one
// delivery and a few counters, so it costs the same in a session of ten and of
// ten thousand. Looking at all peers is left to four rare cases: the state was
// loaded, the session's end changed, startedAt hangs on the earliest join and
// that one moved, or an earlier record turned up for the latest that usage rests
// on. A participant's document costs what it lists.
//
// No stored value exceeds 512 KiB: parts are split, texts and lists are cut in
// documents as [Session] and the others say. Sums always count everything.
//
// # The end of an entity
//
// States of what comes to an end say since when they are over: sessions since the
// earliest received time of an ending event, recordings of a final status. That is
// a minimum, so that dropping old ones is a law as well (ADR 0019).
//
// # Usage in any time zone
//
// Days are a matter of whoever asks, so the usage fold stores, for each session,
// quarter hours: midnight of every zone in use since 1972 begins one. A slot that
// a connection covers in part has that part in microseconds; of the slots that it
// covers as a whole only the first and the one after the last are noted (+1 and
// −1). The size is bounded by the number of distinct quarter hours in which
// somebody came or went, and depends neither on how long they stayed nor on how
// many they were. A slot belongs to the day that it begins in, so that the sum
// over days equals the sum over sessions to the microsecond in every zone. The
// limits: midnights that are no quarter hour (historic offsets), and sessions with
// comings and goings in more than 2,048 quarter hours (three weeks without a
// pause), whose slots are made longer; there up to one slot's time may count for
// the day before. Recordings are joined when reading, from their own view.
//
// # Since when usage is as it is
//
// The usage fold keeps, with each time that counts, the earliest received time of
// a record that gives that very one (fact). The latest of those is the document's
// revisedAt: it moves when a number may have moved, and a body that comes again
// moves nothing. A recording's is taken from its history when reading.
//
// # Choices where FORMAT leaves one
//
//   - organizer is null where no record names one.
//   - A leave without a readable leftAt counts by its received time only where no
//     leave of that peer has one.
//   - left-before-joined also counts a connection that the session's end closed
//     before its joinedAt.
//   - A recording status update without a readable status has no rank: fields
//     from it yield to any other record's.
//   - An empty downloadUrl of a recording is none; an artifact's record counts
//     even without a URL.
//   - Recordings are split at midnight in usage, like connections.
package projections
