// Package web is what Rollcall's HTTP listeners (webhooks, the read API, the admin
// address) have in common: the form of a refusal, the life of a server, the log of
// its complaints, and which addresses are this host's own.
//
//	listener ──▶ Serve ──▶ handler ──refuses──▶ Problem (RFC 9457) ──▶ client
//	               │ ctx ends: no new request, those under way end, then the rest is cut
//	               └ complains ──▶ ErrorLog: sizes and stacks, no text of a client's
//
// # Privacy
//
// What net/http logs by itself can quote a request or name a client's address, and
// the value of a panic can hold anything. [ErrorLog] keeps neither.
package web
