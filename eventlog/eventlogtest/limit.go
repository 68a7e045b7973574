package eventlogtest

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// Limit has a stream keep its last n messages from now on, as max_msgs does; -1 is no
// limit.
func Limit(t testing.TB, js jetstream.JetStream, stream string, n int64) {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.MaxMsgs = n
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}
