// Package query is the read API: questions about the views and the log, over HTTP
// and over NATS alike.
//
//	HTTP, NATS micro ──▶ route ──▶ call (parsed parameters) ──▶ answer ──▶ JSON, CSV
//	                                   │ asks
//	           ┌───────────────┬───────┴───────┬────────────────┐
//	           ▼               ▼               ▼                ▼
//	        replica         history           feed           pipeline
//	     views in SQLite  records, the past  changes     what processes do
//
// # The API
//
// A view is declared once: its fields beside its fold in projections, what only
// readers need (id, filters, indexes) in a file view_<name>.go here. [Tables], the
// list and item routes, sorting, CSV and the OpenAPI document follow from both.
//
// A table of routes says which parameters a path takes, which views it needs
// and which fields its documents have. Parsing, refusal of what is unknown,
// sorting, CSV and the OpenAPI document all follow from it, so they can't drift
// apart. Fields that need a clock or another view are added when asked for; a
// stored document goes out byte for byte.
//
// # Trust
//
// Everybody who may read may read everything; see docs/GUARANTEES.md. Stream keys
// are masked in every answer.
package query
