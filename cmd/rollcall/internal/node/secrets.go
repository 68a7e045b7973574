package node

import (
	"maps"
	"os"
	"runtime"

	"rollcall/ingest"
)

// othersRead is the mode bit of a file that everybody may read.
const othersRead = 0o004

// warnOfReadableSecrets names files with secrets that every user of this machine
// can read. It is no error: where secrets are mounted into a container that is the
// usual mode, and nobody else is there.
func (n *Node) warnOfReadableSecrets() {
	files := maps.Clone(n.Secrets)
	if files == nil {
		files = map[string]string{}
	}
	for _, s := range n.sources() {
		files["pathTokenFile of source "+s.Name] = s.PathTokenFile
		if s.Scheme == ingest.SchemeStandard {
			files["key of source "+s.Name] = s.Key
		}
	}
	for what, path := range files {
		if path == "" || runtime.GOOS == "windows" {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Mode()&othersRead != 0 {
			n.Logger.Warn().Str("file", path).Str("setting", what).Msg("every user of this machine can read this secret; chmod 600 it")
		}
	}
}
