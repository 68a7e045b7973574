package natsd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"rollcall/cmd/rollcall/internal/console"
)

// ImportMark stands in a data directory while an import into it is not done.
func ImportMark(dir string) string { return filepath.Join(dir, "import-unfinished") }

// CheckImported refuses a data directory that holds half an import.
func CheckImported(dir string) error {
	b, err := os.ReadFile(ImportMark(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("data directory %s holds half of an import of %s; run `rollcall events import FILE --data-dir %s` again, which begins from the start", dir, strings.TrimSpace(string(b)), console.ShellWord(dir))
}
