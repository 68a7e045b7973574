// Package natsd runs nats-server inside the process: JetStream on the files of a data
// directory, with access rules for its port.
//
//	Start: lock the directory ─▶ check, repair the files ─▶ server ─▶ clients
//	            (LockDir)            (Salvage)                 │
//	  READERS ── consumer requests ─▶ Guard ── limited ─▶ ROLLCALL (log, views)
//	  QUERY   ── answers questions ───────────────────────▶
//
// # Accounts
//
// The log and the views are in one account, which only this program and users with a
// role reach. Clients without credentials are in another, which imports what reads.
// They make consumers through the Guard alone. access.go says why.
//
// # Durability
//
// nats-server has no lock on its directory, so LockDir takes one. It syncs lazily: what
// must outlive a power loss, the log, is synced by natslog. A write error is sticky in
// its file streams, so IsStuck reports one and Restart starts the server in place.
//
// # Failure
//
// Damaged files are found before each start. What is lost of the log is marked, all else
// is kept; damaged views are moved aside, since they are made again from the log.
package natsd
