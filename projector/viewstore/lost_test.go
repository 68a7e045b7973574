package viewstore_test

import (
	"iter"
	"maps"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// What a view's stream holds is lost while its projector runs, records come in
// and a reader follows. The projector folds again by itself, and both end right.
func TestProjectorSurvivesALostView(t *testing.T) {
	for how, lose := range map[string]func(t *testing.T, js jetstream.JetStream, before saved){
		"tail": func(t *testing.T, _ jetstream.JetStream, before saved) { before.restore(t, "KV_sessions_g1") },
		"purged": func(t *testing.T, js jetstream.JetStream, _ saved) {
			stream, err := js.Stream(testContext(t), "KV_sessions_g1")
			if err == nil {
				err = stream.Purge(testContext(t))
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"deleted": func(t *testing.T, js jetstream.JetStream, _ saved) { remove(t, js, "KV_sessions_g1") },
		"all deleted": func(t *testing.T, js jetstream.JetStream, _ saved) {
			remove(t, js, "KV_sessions_g1")
			remove(t, js, viewstore.StreamOf(viewstore.Control))
		},
		"control deleted": func(t *testing.T, js jetstream.JetStream, _ saved) {
			remove(t, js, viewstore.StreamOf(viewstore.Control))
		},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			node := eventlogtest.Server(t)
			js := node.JetStream(t)
			all := records(41, 40)
			third := len(all) / 3
			log := fill(t, js, nil)
			put := func(some []eventlog.Record) (last eventlog.Seq) {
				for i := range some {
					a, err := log.Append(testContext(t), &some[i])
					if err != nil {
						t.Fatal(err)
					}
					last = max(last, a.Seq)
				}
				return last
			}
			s := open(t, js, viewstore.Config{Exclusive: true})
			_, stop := run(t, projector.Config{Projection: sessionsFold(), Source: log, Store: s, BatchEntities: 5})
			defer func() {
				if err := stop(); err != nil {
					t.Errorf("Run() = %v; want nil", err)
				}
			}()
			reached(t, s, "sessions", put(all[:third]))
			before := save(t, node, js)
			last := put(all[third : 2*third])
			reached(t, s, "sessions", last)
			next, end := iter.Pull2(s.Follow(testContext(t), "sessions", viewstore.Position{}))
			defer end()
			f := &follower{t: t, next: next, view: map[string]string{}}
			f.until(last)

			lose(t, js, before)
			last = put(all[2*third:])
			reached(t, s, "sessions", last)
			want := plain(sessionsFold(), all)
			wantView(t, s, "sessions", want)
			for !maps.Equal(f.view, want) {
				f.until(last)
			}
		})
	}
}

func remove(t *testing.T, js jetstream.JetStream, stream string) {
	t.Helper()
	if err := js.DeleteStream(testContext(t), stream); err != nil {
		t.Fatal(err)
	}
}
