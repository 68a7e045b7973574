package main

import (
	"strings"
	"testing"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/projector/viewstore"
)

// TestWatchedChangesAsCSV: a list of changes has a head line, as every list.
func TestWatchedChangesAsCSV(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	show, err := (&viewsWatchCmd{OutputFlag: console.OutputFlag{Output: "csv"}}).shows(&b)
	if err == nil {
		err = show(viewstore.Change{Kind: viewstore.Put, Key: "live.s-1", Value: []byte(`{}`)}, 7)
	}
	if err == nil {
		err = show(viewstore.Change{Kind: viewstore.Delete, Key: "live.s-1"}, 8)
	}
	want := "sequence,kind,key,document\r\n7,put,live.s-1,{}\r\n8,delete,live.s-1,\r\n"
	if err != nil || b.String() != want {
		t.Errorf("views watch --output csv = %q, %v; want %q", b.String(), err, want)
	}
}
