//go:build !unix

package natsd

import "os"

// ours can't be told here: temporary directories belong to a user anyway.
func ours(os.FileInfo) bool { return true }
