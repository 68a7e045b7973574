package docs

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestCopies: a Helm chart can't read what lies beside it, so it has copies.
func TestCopies(t *testing.T) {
	for name, source := range map[string]string{
		"rules.yaml": "deploy/monitoring/rules.yaml", "board.json": "deploy/monitoring/board.json", "nats-server.conf": "docs/examples/nats-server.conf",
	} {
		original, err := os.ReadFile(filepath.Join(root, source))
		if err != nil {
			t.Fatal(err)
		}
		copied, err := os.ReadFile(filepath.Join(root, "deploy/helm/rollcall/files", name))
		if err != nil || !bytes.Equal(original, copied) {
			t.Errorf("the chart's copy of %s differs from it, %v; run make deploy-copies", source, err)
		}
	}
}
