package feed

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestSendNeedsADeadline: where a write can't be bounded nothing is sent, since a client
// that does not read would hold the feed for good.
func TestSendNeedsADeadline(t *testing.T) {
	w := httptest.NewRecorder() // has none
	f := &client{w: w, rc: http.NewResponseController(w), buf: []byte("data: 1\n\n")}
	if err := f.send(); err == nil || w.Body.Len() != 0 {
		t.Errorf("send() without deadlines = %v, %d bytes; want an error, and nothing sent", err, w.Body.Len())
	}
	f.buf = nil
	if err := f.send(); err != nil {
		t.Errorf("send() of nothing = %v", err)
	}
}
