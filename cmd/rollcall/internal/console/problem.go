package console

import (
	"bytes"

	"github.com/go-json-experiment/json"
)

// Problem is what a problem document (RFC 9457) says, else the text itself.
func Problem(answer []byte) string {
	var p struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	if json.Unmarshal(answer, &p) == nil && p.Title+p.Detail != "" {
		if p.Detail == "" {
			return p.Title
		}
		return p.Detail
	}
	return string(bytes.TrimSpace(answer))
}
