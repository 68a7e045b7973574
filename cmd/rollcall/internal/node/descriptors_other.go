//go:build !unix

package node

// Descriptors is how many files the process may open at a time: unknown here, and
// more than the greatest limits need.
func Descriptors() uint64 { return 1 << 20 }
