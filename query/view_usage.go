package query

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"rollcall/eventlog"
	"rollcall/projections"
)

const (
	viewUsage = "usage"
	usageItem = "UsageRow"
)

// usageView holds what each session adds to usage rows, which are what is read.
// The time that a session covers decides whether a question looks at it.
func usageView() *view {
	covered := func(last bool) func(found map[string]jsontext.Value) any {
		return func(found map[string]jsontext.Value) any {
			begin, end := usageSpan(found)
			if last {
				return int64(end)
			}
			return int64(begin)
		}
	}
	return &view{
		name: viewUsage, special: true, kept: []string{"sessionId", "startedAt"},
		derived: []column{
			{name: "begins", kind: projections.KindTime, from: covered(false)},
			{name: "ends", kind: projections.KindTime, from: covered(true)},
		},
		indexes: []string{"sessionId", "begins", "ends"},
	}
}

// usageFields are the members of a usage row.
func usageFields() []field { return fieldsOf(projections.UsageRowFields()) }

// usageSpan is the time from a session's first slot, or start, to the end of
// its last slot.
func usageSpan(found map[string]jsontext.Value) (begin, end eventlog.Time) {
	var seconds int64
	var slots []projections.UsageSlot
	if found["startedAt"] != nil && begin.UnmarshalJSON(found["startedAt"]) != nil {
		begin = 0
	}
	end = begin
	if json.Unmarshal(found["slotSeconds"], &seconds) != nil || json.Unmarshal(found["slots"], &slots) != nil || len(slots) == 0 {
		return begin, end
	}
	length := eventlog.Seconds(seconds) * eventlog.Second
	at := func(slot int64) eventlog.Time { return eventlog.TimeOfUnixMicro(slot * int64(length)) }
	first, last := at(slots[0].Slot), at(slots[len(slots)-1].Slot+1)
	if begin == 0 {
		return first, last
	}
	return min(begin, first), max(end, last)
}
