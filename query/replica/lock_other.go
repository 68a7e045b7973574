//go:build !unix

package replica

// lockDir does nothing where there is no flock.
func lockDir(string) (unlock func(), err error) { return func() {}, nil }
