// Package attach is how commands reach a log and its views: connect with the
// credentials of the flags, open what exists, close it.
//
//	ClientFlags    a running server, read          ─▶ Attach ─▶ Attached{Conn, JetStream, Log}
//	OperatorFlags  the same, with rights to write  ─▶ Attach, WithStore
//	WhichLog       a server, or the data directory of one that does not run
//
// # Rights
//
// Secrets come from files, never from the command line, where every process can read
// them. OperatorFlags without a user take the login that a server of the same user on
// this machine has left.
//
// # Failure
//
// A server that is not there, or refuses, is an error at once, in one line that says what
// to do: exit code 4. A log that nobody has made yet has exit code 3.
package attach
