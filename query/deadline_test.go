package query_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// deadlines notes the deadlines that a handler sets.
type deadlines struct {
	*httptest.ResponseRecorder
	read []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = append(d.read, t)
	return nil
}

// TestReadDeadlineEndsWithTheRequest: a request without a body is read whole, and its
// deadline does not cut an answer that waits; one with a body keeps it.
func TestReadDeadlineEndsWithTheRequest(t *testing.T) {
	t.Parallel()
	w := scripted(t, newScript())
	for _, body := range []string{"", "hello"} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/openapi.json", strings.NewReader(body))
		d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		w.api.Handler().ServeHTTP(d, req)
		if lifted := len(d.read) == 1 && d.read[0].IsZero(); lifted != (body == "") {
			t.Errorf("read deadlines set for a body of %d bytes = %v; want it lifted: %v", len(body), d.read, body == "")
		}
	}
}
