// Package heartbeat publishes the status of a process on a core NATS subject, once a
// second: what a running node reports, a rebuild's progress, a verification's result.
//
//	node, rebuild ─▶ New ─▶ Run ─▶ rollcall.status.<process> ─▶ query/pipeline
//	verify        ─▶ PublishAudits, once
//
// Nothing depends on it: a status that is not published is missing from the pipeline's
// overview and from nothing else.
package heartbeat
