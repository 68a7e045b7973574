// Package pipeline knows what the processes of a Rollcall do: each reports every
// second, and a [Monitor] keeps the last reports and the rates between them.
//
//	process ──Status, every second──▶ rollcall.status.<process> ──▶ Monitor ──▶ Overview
//	                                  (core NATS, not stored)         │ every 2 s
//	                                                                  ▼
//	                                                               history, 3 minutes
//
// # Trust
//
// A message is taken for a status where it is exactly that: no headers, no reply
// subject, known members alone, and the process that its subject names. A status
// holds no ids, names or error texts. What is kept is bounded, whoever publishes.
//
// # Loss
//
// A process that is silent for five seconds counts as lost, and after a minute it
// is left out. The last audit of each view is kept longer: it says when the view
// was last found equal to the log.
package pipeline
