// Package console is what the commands share in speaking to people and scripts: tables,
// JSON and CSV on stdout, the log on stderr, errors that fit a line and know their
// exit code, and how a command ends when it is interrupted or waits too long.
//
//	IO ── Patiently(run) ─▶ run ── error ─▶ Interrupted? 130, 143 ─▶ ExitCode 0 to 5
//	          └ says what it waits for, gives up in the end
//
// # Order
//
// Data goes to Stdout, everything else to Stderr, so that output can be piped. What a
// provider sent is never printed as it is: Printable shows what a terminal would act on.
//
// # Failure
//
// An error made with Usagef, NotFoundf, Unreachablef or Differencef has that exit code;
// others have the code of the sentinel that they wrap. A command that changes something
// says with Left what it left behind when it was interrupted.
package console
