// Package ingest is the HTTP edge: POST /webhooks/{source} takes a provider's
// delivery, verifies it, and answers only when it is durable in the log.
//
//	known source ─▶ size cap ─▶ raw read ─▶ signature ─▶ who is it about ─▶ rate ─▶ append ─▶ 200
//	     404           413         503      401 │ 503         401            503      503
//
// # Answers
//
// Providers drop an event for good on a 4xx and try again on a 5xx, so nothing
// that could be stored later gets a 4xx. 401 says that the signature is absent,
// or wrong against a key that was fetched after the delivery arrived, or that
// the delivery is another tenant's. Where the key can't be confirmed (the key
// endpoint is down, or was asked less than a minute ago) a wrong signature is a
// 503: otherwise a flood of forgeries after a rotation would lose genuine
// deliveries. Every error is a problem document (RFC 9457); each 503 has Retry-After.
//
// Paths are matched with tolerance for what providers' forms do to them: a redirect
// or a 404 would lose the delivery. A source may require a secret at the end of its path.
//
// A verified body is stored as it was sent, whatever is in it: with a byte order
// mark or compressed. eventlog.Content decodes it. Nothing of a body that was not
// verified is kept, logged or counted but its size.
//
// # Identity
//
// A delivery is known by the header dyte-uuid, rtk-uuid or webhook-id. What is
// no printable ASCII of at most 256 bytes stands as h_ and its SHA-256.
//
// # Schemes
//
//   - rsa: RSASSA-PKCS1-v1_5 with SHA-256 over the raw body, base64 in
//     dyte-signature or rtk-signature (docs.dyte.io/guides/capabilities/webhooks,
//     developers.cloudflare.com/realtime/realtimekit/webhooks). The algorithm is
//     fixed; keys below 2048 bits are refused. Keys come from a file or from an
//     https URL.
//   - standard: Standard Webhooks (github.com/standard-webhooks), HMAC-SHA256 and
//     ed25519, several signatures, a tolerance for the signed time. The file has
//     one whsec_ or whpk_ key a line.
//   - none: no signature; for tests on loopback.
//
// A key file is looked at every second and at each wrong signature, and read
// again when it changed; while it can't be read the last keys stay, and a wrong
// signature is a 503.
//
// # Use
//
//	h, err := ingest.New(ingest.Config{Log: log, Sources: sources, KeyDir: dir, Metrics: registry})
//	go h.Run(ctx)                        // keeps keys fresh; returns when ctx ends
//	ingest.Serve(ctx, listener, h, ingest.ServerConfig{}) // timeouts, connection limit, graceful stop
//
// The Handler works without Run if no source has a key URL.
//
// # Floods
//
// A signature costs about 50 µs to check, and a request several times that, so a
// flood of forgeries would take all CPU. Above a hundred a second the answer to a
// bad signature is delayed by Config.RefusalDelay: a flood over C connections gets
// C / RefusalDelay answers a second. Genuine deliveries are never delayed, whatever
// address they come from. A sender that opens a connection for each forgery and does
// not wait is limited only by ServerConfig.MaxConnections: use a firewall for that.
//
// # Concurrency and memory
//
// A Handler serves any number of requests. Signatures are verified by a bounded
// number at a time; appends that wait are bounded too, and answered 503 above
// it. A body's memory grows with what arrives; beyond the first 8 KiB of each all of
// them share Config.MaxBodyMemory, and one more is answered 503.
//
// # Replays
//
// The signature covers only the body, so anyone who saw a delivery can send it
// again. A repeat takes no token of its source's rate; one signed body under many
// delivery ids is accepted Config.SameBody times at once, then once every ten seconds.
// The memory for that is bounded, and lost at a restart.
package ingest
