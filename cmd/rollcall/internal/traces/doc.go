// Package traces sends OpenTelemetry spans of deliveries and of reads to a collector:
// OTLP over HTTP, in JSON, which every collector takes on the same port.
//
//	answer ─▶ Tracer.Served ─▶ queue (bounded) ─▶ Run: a batch a second ─▶ POST …/v1/traces
//
// # Why not the SDK
//
// A request is one span, known whole once it is answered. That takes one call, no
// context, and nothing where traces are off. The SDK and its exporter (1.47.0) would make
// the program larger by 3.7 MB, a tenth, and bring eleven modules, gRPC among them.
//
// # Failure
//
// Nothing waits for a collector. Spans that find the queue full, or whose batch is not
// taken, are dropped, and the log says how many.
//
// # Trust
//
// Spans have routes, statuses and sequences: no ids of meetings, names, queries or
// tokens.
package traces
