package projections

import "rollcall/eventlog"

// All returns the folds of the six views. They hold no state themselves and may
// be shared.
func All() []eventlog.Fold {
	return []eventlog.Fold{
		sessionFold{}, attendanceFold{}, recordingFold{}, livestreamFold{}, artifactFold{}, usageFold{},
	}
}
