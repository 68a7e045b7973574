package query

// Masked copies a record's body for showing: the value of every member named
// streamKey, a secret of the provider, is replaced. It reports false for a body
// that is no JSON, in which what looks like a stream key is replaced.
func Masked(body []byte) ([]byte, bool) {
	if masked, ok := maskBody(body); ok {
		return masked, true
	}
	return maskText(body), false
}
