package natslog_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

// BenchmarkAppend measures durable appends by how many callers share the log,
// and by how many waiting records are still published one by one.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		for _, way := range []string{"sync", "batch", "naive", "nosync"} {
			b.Run(fmt.Sprintf("%s/callers=%d", way, callers), func(b *testing.B) {
				node := eventlogtest.Server(b, eventlogtest.Options{SyncAlways: way == "batch" || way == "naive"})
				c := natslog.Config{}
				if way == "sync" {
					open(b, node.JetStream(b), natslog.Config{})
					c.StoreDir = node.Dir()
				}
				l := open(b, node.JetStream(b), c)
				js := node.JetStream(b)
				var n atomic.Int64
				var wg sync.WaitGroup
				b.ResetTimer()
				for range callers {
					wg.Go(func() {
						for i := int(n.Add(1)); i <= b.N; i = int(n.Add(1)) {
							var err error
							if way == "naive" || way == "nosync" {
								_, err = js.PublishMsg(context.Background(), natslog.Message(rec(i)))
							} else {
								_, err = l.Append(context.Background(), rec(i))
							}
							if err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rec/s")
			})
		}
	}
}

// BenchmarkRead replays a log.
func BenchmarkRead(b *testing.B) {
	l := open(b, eventlogtest.Connect(b), natslog.Config{})
	const n = 20000
	_, err := l.Import(b.Context(), func(yield func(eventlog.Record, error) bool) {
		for i := range n {
			if !yield(*rec(i), nil) {
				return
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		for _, err := range l.Read(b.Context(), eventlog.ReadOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "rec/s")
}
