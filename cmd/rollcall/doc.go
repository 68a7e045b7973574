// Command rollcall keeps the webhooks of a video-meeting provider in a
// durable log and folds them into views.  Everything is wired here: flags and
// config, the embedded NATS server, which part of the program a process runs.
//
//	main ──▶ run(ctx, args, env, stdin, stdout, stderr) ──▶ one file a command
//	serve ─▶ settings: flags, checked ─▶ node.Config ─▶ node.Run
//
// The order of starting is such that what can be refused (a port in use, a
// directory in use, a server too old) is refused before anything is written;
// stopping goes the other way round, stage by stage: the ingester finishes what
// it took, the projectors commit what they hold, the server goes last.
//
// Data goes to stdout, the log to stderr. Errors are one line that says what to
// do next; the exit code says which kind it was.
package main
