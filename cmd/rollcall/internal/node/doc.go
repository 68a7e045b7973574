// Package node is a running Rollcall: the roles of one process, and what they share.
//
//	Config ─▶ New ─▶ Run: listen ─▶ NATS ─▶ log ─▶ roles (ingest, project, query) ─▶ ready
//	                  └ admin: /livez, /readyz, /metrics    └ Heartbeat: the status, every second
//
// # Order
//
// What can be refused (a port in use, a directory in use, a server too old) is refused
// before anything is written. Config is checked by whoever makes it. Stopping goes the
// other way round, stage by stage: the ingester finishes what it took, the projectors
// commit what they hold, the embedded server goes last.
//
// # Failure
//
// Webhooks come first. Beside an ingester, a view that fails or a part of the read side
// that ends is noted in /readyz?verbose and started again; alone, it ends the process.
// An embedded server that could not write is started again in place once it can.
package node
