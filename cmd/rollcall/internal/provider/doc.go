// Package provider plays the provider of video meetings: it signs webhook deliveries and
// posts them over HTTP, for send, simulate, the demo and the benchmarks.
//
//	Key (RSA) ── Sign(body) ─▶ Poster.Post ─▶ POST /webhooks/NAME ─▶ Receipt
//	                               └ again on a 5xx and on a broken connection
//
// # Failure
//
// Any answer but a 200 and a 5xx is final, as it is for the providers: a RefusedError.
// Where the last try was not answered, it is not known whether the delivery was stored.
package provider
