package viewstore_test

import (
	"maps"
	"testing"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// TestBundleIsOvertaken: a rebuild stores an entity's parts together, and what
// follows stores those that change alone. The entity has each part once, as it is now.
func TestBundleIsOvertaken(t *testing.T) {
	t.Parallel()
	s := open(t, eventlogtest.Connect(t), viewstore.Config{Exclusive: true})
	o := acquire(t, s, projector.LeaseRequest{})
	store := func(seq eventlog.Seq, bulk bool, parts ...projector.Part) {
		t.Helper()
		c := write(o, seq)
		c.Bulk, c.Entities = bulk, []projector.EntityWrite{{Entity: "e", Fresh: bulk, Parts: parts}}
		if err := o.Commit(testContext(t), c); err != nil {
			t.Fatal(err)
		}
	}
	store(1, true, projector.Part{Name: "core", Value: []byte("1")}, projector.Part{Name: "peers", Value: []byte("1")})
	store(2, false, projector.Part{Name: "core", Value: []byte("2")})
	parts, err := o.Load(testContext(t), []string{"e"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range parts[0] {
		got[p.Name] = string(p.Value)
	}
	if want := map[string]string{"core": "2", "peers": "1"}; !maps.Equal(got, want) || len(parts[0]) != len(want) {
		t.Errorf("Load() = %d parts %v; want %v, each once", len(parts[0]), got, want)
	}
}
