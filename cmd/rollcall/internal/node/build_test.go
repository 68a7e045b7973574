package node

import (
	"runtime/debug"
	"testing"
)

// TestBuild: what the linker knows of a build is what `rollcall version` prints.
func TestBuild(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.0", Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "8fe63a2"}, {Key: "vcs.time", Value: "2026-11-27T18:20:12Z"}, {Key: "vcs.modified", Value: "true"},
	}}
	info.Main.Version = "v0.1.0"
	got := buildOf(info)
	if got.Version != "v0.1.0" || got.Revision != "8fe63a2" || got.Time != "2026-11-27T18:20:12Z" || !got.Modified || got.Go == "" || got.NATS == "" {
		t.Errorf("buildOf() = %+v; want the tag, revision, time, modified, go and nats-server", got)
	}
	if got := buildOf(&debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}); got.Version != "devel" || got.Revision != "" {
		t.Errorf("buildOf() without a version = %+v; want devel", got)
	}
}
