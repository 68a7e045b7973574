//go:build !unix

package natsd

import "os"

// ours is true: the owner is unknown here, and temporary directories belong to a user anyway.
func ours(os.FileInfo) bool { return true }
