// Package traces sends OpenTelemetry spans of deliveries, commits and reads to a collector:
// OTLP over HTTP, in JSON, which every collector takes on the same port.
//
//	request ─▶ Tracer.Begin … Served ─▶ queue (bounded) ─▶ Run: a batch a second ─▶ POST …/v1/traces
//	              │ Traceparent            ▲
//	              ▼                        │
//	           record ─▶ log ─▶ projector, Tracer.Committed
//
// # From a delivery to the views
//
// One delivery ends up in a commit of each view, and one commit holds many deliveries. So
// a commit is no child: it is a trace of its own with links to the deliveries' spans. What
// it links to is in the record's header, since another process may fold it; only records
// whose delivery was sampled have one. A commit without any makes no span. See ADR 0022.
//
// # Why not the SDK
//
// A request is one span with a beginning and an end, and nothing where traces are off. The
// SDK and its exporter (1.47.0) would make the program larger by 3.7 MB, a tenth, and bring
// eleven modules, gRPC among them.
//
// # Failure
//
// Nothing waits for a collector. Spans that find the queue full, or whose batch is not
// taken, are dropped, and the log says how many.
//
// # Trust
//
// Spans have routes, statuses, names of views and sequences: no ids of meetings, names,
// queries or tokens.
package traces
