package natsd

import (
	"strings"
	"testing"

	"rollcall/eventlog/eventlogtest"
)

// TestGuardWithoutJetStream: where JetStream does not answer, a reader's request is
// refused with a reason, not answered with nothing.
func TestGuardWithoutJetStream(t *testing.T) {
	t.Parallel()
	v := visitor{&Guard{nc: eventlogtest.Server(t, eventlogtest.Options{NoJetStream: true}).Connect(t)}, accountQuery}
	for what, ask := range map[string]func() ([]byte, error){
		"create": func() ([]byte, error) { return v.create("MEETINGS", []byte(`{"stream_name":"MEETINGS","config":{}}`)) },
		"create named": func() ([]byte, error) {
			return v.create("MEETINGS.a", []byte(`{"stream_name":"MEETINGS","config":{"name":"a"}}`))
		},
		"remove": func() ([]byte, error) { return v.remove("MEETINGS.a") },
		"info":   func() ([]byte, error) { return v.info("MEETINGS.a") },
		"list":   func() ([]byte, error) { return v.list("LIST", "MEETINGS", "", nil) },
	} {
		if answer, err := ask(); err == nil || !strings.HasPrefix(err.Error(), "ask JetStream: ") {
			t.Errorf("%s without JetStream = %q, %v; want an error that says so", what, answer, err)
		}
	}
}
