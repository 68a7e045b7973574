// Package bench measures Rollcall on the machine that it runs on: how fast webhooks are
// taken and views are rebuilt, and how long a webhook takes to its effect.
//
//	Ingest   four handlers in this process, in turns  ◀── Load (keep-alive connections)
//	Rebuild  a NATS server as a process of its own    ◀── raw read, naive projector, rebuilds
//	Latency  `rollcall serve` as a process            ◀── webhooks, a watcher, reads
//	Readers  the same, with a full log                ◀── webhooks, and a load beside them
//
// # Method
//
// What is compared runs in one run and takes turns, since a shared machine is not the
// same all the time. Latency at a rate counts from when a request was due, whether or not
// the earlier ones were answered. The load generator shares the machine with what it
// measures, so it costs as little as it can.
//
// # Failure
//
// Each measurement works in a directory of its own, which is removed at the end. Any
// answer but the one that was expected ends the run.
package bench
