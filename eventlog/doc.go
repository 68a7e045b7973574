// Package eventlog says what Rollcall's log holds: the [Record], one webhook
// delivery kept byte for byte, and the [Event], its decoded meaning. It also
// owns the names by which records are found (subjects, escaped ids) and the
// shape of a [Fold], the law that turns records into a view.
//
//	webhook body ──Identify──▶ subject, type        (ingest: decides where it is stored)
//	Record ────────Decode────▶ Event ──Fold──▶ view (projector: decides what it means)
//
// The package has no I/O and no clock. It imports the standard library and one
// JSON decoder, which decides everywhere what is JSON, so that no two parts of
// Rollcall can read the same bytes differently. A lexer reads usual bodies
// before it, under the same member table; a fuzz test holds the two together.
//
// # Tolerance
//
// [Decode] never fails. A body that is no JSON object becomes an event of type
// [Unreadable]; a type that this version does not know becomes [Unknown]; a
// member of the wrong JSON type is as if absent and is named in Event.Problems.
// Of a name that stands twice the last value counts, names are case-sensitive,
// and invalid UTF-8 is replaced by U+FFFD. The record itself is never changed.
//
// # Provider generations
//
// Three generations of payloads are read into one Event: Dyte v1 (no session
// id, no times inside), Dyte v2 (space-separated recording times) and
// Cloudflare RealtimeKit. Sources: docs.dyte.io/guides/capabilities/webhooks
// and developers.cloudflare.com/realtime/realtimekit/webhooks. One sample file
// per event type and generation is under testdata/samples.
//
// # Limits
//
// A title keeps its first 128 KiB, other display texts their first 32 KiB; an
// id, URL or status above 32 KiB counts as absent. Times outside the years
// 0001 to 9999 can't be read. Bodies nested deeper than 10,000 levels are
// Unreadable (a limit of the JSON decoder).
package eventlog
