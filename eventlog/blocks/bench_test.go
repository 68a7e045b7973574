package blocks_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/blocks"
	"rollcall/eventlog/eventlogtest"
)

// BenchmarkScan is what a check costs a start after a kill; see
// docs/perf/damage.txt.
func BenchmarkScan(b *testing.B) {
	node := eventlogtest.Server(b)
	js := node.JetStream(b)
	if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: streamName, Subjects: []string{"d.>"}, Storage: jetstream.FileStorage}); err != nil {
		b.Fatal(err)
	}
	for i := range 100_000 {
		m := &nats.Msg{Subject: "d.x", Header: nats.Header{"Number": {fmt.Sprint(i)}}, Data: body(i)[:900]}
		if _, err := js.PublishMsgAsync(m); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	node.Stop(b)
	all, err := blocks.Streams(node.Dir())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, err := blocks.Scan(b.Context(), all[0], true)
		if err != nil || len(r.Damage) != 0 {
			b.Fatal(r, err)
		}
		b.SetBytes(r.Bytes)
	}
}
