package viewstore_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// stateMessages are the stored parts of the view sessions, by subject.
func (d *deployment) stateMessages(t *testing.T) map[string][]byte {
	t.Helper()
	js, err := jetstream.New(d.node.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(testContext(t), "KV_sessions_g1")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]byte{}
	info := stream.CachedInfo()
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		m, err := stream.GetMsg(testContext(t), seq)
		if err == nil && strings.HasPrefix(m.Subject, "rollcall.state.sessions_g1.e.") && m.Header.Get("KV-Operation") == "" {
			found[m.Subject] = m.Data
		}
	}
	return found
}

// overwrite publishes on a subject of the view's state, past the projector. nil
// deletes what stands there.
func (d *deployment) overwrite(t *testing.T, subject string, value []byte) {
	t.Helper()
	js, err := jetstream.New(d.node.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	m := nats.NewMsg(subject)
	m.Data = value
	if value == nil {
		m.Header.Set("KV-Operation", "DEL")
	}
	if _, err := js.PublishMsg(testContext(t), m); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyLooksAtState damages stored parts of a quiet view, whose documents
// stay right: verify ends, names the entity, and repair mends it.
func TestVerifyLooksAtState(t *testing.T) {
	t.Parallel()
	all := records(31, 30)
	for name, damage := range map[string]func(parts map[string][]byte) (written map[string][]byte){
		"garbage bundle": func(parts map[string][]byte) map[string][]byte {
			return map[string][]byte{one(parts, ".ALL"): []byte("garbage")}
		},
		"garbage core": func(parts map[string][]byte) map[string][]byte {
			return map[string][]byte{one(parts, ".core"): []byte("garbage")}
		},
		"older core": func(parts map[string][]byte) map[string][]byte { // what the bundle has
			return map[string][]byte{one(parts, ".core"): nil}
		},
		"core of another entity": func(parts map[string][]byte) map[string][]byte {
			subject := one(parts, ".core")
			return map[string][]byte{subject: another(parts, subject)}
		},
		"all deleted": func(parts map[string][]byte) map[string][]byte {
			root := strings.TrimSuffix(one(parts, ".core"), "core")
			gone := map[string][]byte{}
			for subject := range parts {
				if strings.HasPrefix(subject, root) {
					gone[subject] = nil
				}
			}
			return gone
		},
	} {
		t.Run(name, func(t *testing.T) {
			// In two commits: parts that change stand beside the bundle of the first ones.
			d := deploy(t, all[:len(all)/2])
			reached(t, d.store, "sessions", d.append(t, all[len(all)/2:]))
			if v := d.verify(t, nil); len(v.Differences) != 0 {
				t.Fatalf("Verify() of a right view = %+v; want no difference", v.Differences)
			}
			for subject, value := range damage(d.stateMessages(t)) {
				d.overwrite(t, subject, value)
			}
			v := d.verify(t, nil)
			if len(v.Differences) != 1 || v.Differences[0].Kind != projector.KindState || v.Differences[0].Entity == "" || v.Keys != v.Equal {
				t.Fatalf("Verify() = %+v, %d of %d keys equal; want one difference of kind state", v.Differences, v.Equal, v.Keys)
			}
			if n, err := projector.Repair(testContext(t), d.surgery(), v.Differences); err != nil || n != 1 {
				t.Errorf("Repair() = %d, %v; want 1 entity", n, err)
			}
			if v := d.verify(t, nil); len(v.Differences) != 0 {
				t.Errorf("Verify() after Repair = %+v; want no difference", v.Differences)
			}
			reached(t, d.store, "sessions", d.append(t, records(32, 10)))
			if v := d.verify(t, nil); len(v.Differences) != 0 {
				t.Errorf("Verify() after more records = %+v; want no difference", v.Differences)
			}
		})
	}
}

// TestVerifyWithoutACheckpoint: a view whose checkpoint is gone is no reason to
// wait forever.
func TestVerifyWithoutACheckpoint(t *testing.T) {
	d := deploy(t, records(33, 5))
	js, err := jetstream.New(d.node.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(testContext(t), "KV_sessions_g1")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(testContext(t), jetstream.WithPurgeSubject("rollcall.state.sessions_g1.checkpoint")); err != nil {
		t.Fatal(err)
	}
	reader := viewstore.NewReader(d.node.JetStream(t))
	viewstore.SetViewQuiet(reader, 300*time.Millisecond)
	_, err = projector.Verify(testContext(t), projector.VerifyConfig{Projection: d.fold, Source: d.log, Viewer: reader})
	if !errors.Is(err, projector.ErrState) {
		t.Errorf("Verify() without a checkpoint = %v; want ErrState", err)
	}
}

// another is what another entity has in the place of subject.
func another(parts map[string][]byte, subject string) []byte {
	for _, s := range slices.Sorted(maps.Keys(parts)) {
		if strings.HasSuffix(s, ".core") && s != subject && !bytes.Equal(parts[s], parts[subject]) {
			return parts[s]
		}
	}
	return nil
}

// one is the subject of a part of that name, the same in each run.
func one(parts map[string][]byte, name string) (subject string) {
	for s := range parts {
		if strings.HasSuffix(s, name) && (subject == "" || s < subject) {
			subject = s
		}
	}
	return subject
}
