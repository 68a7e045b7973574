// Package query is the read API: questions about the views and the log, over HTTP
// and over NATS alike.
//
//	HTTP, NATS micro ──▶ route ──▶ call (parsed parameters) ──▶ answer ──▶ JSON, CSV
//	                                   │ asks
//	           ┌───────────────┬───────┴───────┬────────────────┬───────────────┐
//	           ▼               ▼               ▼                ▼               ▼
//	        replica         history           feed           pipeline        closing
//	     views in SQLite  records, the past  changes     what processes do  closed months
//
// # The API
//
// A view is declared once: its fields with its document in projections, what only
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
// A token has a role: a viewer gets no records, and null for download links;
// everybody else who may read may read everything, and so does who asks over NATS;
// see docs/GUARANTEES.md. A link is a field that says so (projections.Field.Link).
// Stream keys are masked in every answer.
package query
