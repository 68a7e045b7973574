package natslog

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
)

// TestUsable: a stream that most of its servers lost has no leader, and says so.
func TestUsable(t *testing.T) {
	log := settings("incarnation")
	three := log
	three.Replicas = 3
	for name, c := range map[string]struct {
		info jetstream.StreamInfo
		want error
	}{
		"one server":     {jetstream.StreamInfo{Config: log}, nil},
		"one of a group": {jetstream.StreamInfo{Config: log, Cluster: &jetstream.ClusterInfo{Leader: "a"}}, nil},
		"led":            {jetstream.StreamInfo{Config: three, Cluster: &jetstream.ClusterInfo{Leader: "a"}}, nil},
		"without leader": {jetstream.StreamInfo{Config: three, Cluster: &jetstream.ClusterInfo{}}, eventlog.ErrUnavailable},
		"something else": {jetstream.StreamInfo{Config: jetstream.StreamConfig{Name: eventlog.Stream}}, ErrSettings},
	} {
		if err := usable(&c.info); !errors.Is(err, c.want) {
			t.Errorf("usable(%s) = %v; want %v", name, err, c.want)
		}
	}
}
