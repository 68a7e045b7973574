package viewstore_test

import (
	"syscall"
	"testing"
	"time"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/eventlog/traffic"
	"rollcall/projections"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// BenchmarkRebuild compares rebuilds with the raw read of the same log.
func BenchmarkRebuild(b *testing.B) {
	node := eventlogtest.Server(b)
	js := node.JetStream(b)
	log, err := natslog.Open(b.Context(), js, natslog.Config{})
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	_, err = log.Import(b.Context(), func(yield func(eventlog.Record, error) bool) {
		for r := range traffic.Records(traffic.Config{Seed: 1, Sessions: 8000, Shuffle: true, Duplicates: 0.02}) {
			n++
			if !yield(r, nil) {
				return
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	// On a busy machine the processor time says more than the rate.
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	var used time.Duration
	report := func(b *testing.B, began time.Time) {
		now := cpu()
		b.ReportMetric(float64((now-used).Microseconds())/float64(n)/float64(b.N), "cpu-µs/record")
		used = now
		b.ReportMetric(float64(n)*float64(b.N)/time.Since(began).Seconds(), "records/s")
	}
	used = cpu()
	b.Run("read", func(b *testing.B) {
		began := time.Now()
		for range b.N {
			for _, err := range log.Read(b.Context(), eventlog.ReadOptions{}) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		report(b, began)
	})
	b.Run("read+decode", func(b *testing.B) {
		began := time.Now()
		for range b.N {
			for r, err := range log.Read(b.Context(), eventlog.ReadOptions{}) {
				if err != nil {
					b.Fatal(err)
				}
				_ = eventlog.Decode(&r)
			}
		}
		report(b, began)
	})
	store, err := viewstore.Open(b.Context(), node.JetStream(b), viewstore.Config{Exclusive: true})
	if err != nil {
		b.Fatal(err)
	}
	for _, fold := range projections.All() {
		b.Run(fold.Name(), func(b *testing.B) {
			began := time.Now()
			for range b.N {
				_, err := projector.Rebuild(b.Context(), projector.RebuildConfig{Projection: fold, Source: log, Registry: store})
				if err != nil {
					b.Fatal(err)
				}
			}
			report(b, began)
		})
	}
}
