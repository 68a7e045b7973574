package projections

import (
	"strconv"

	"github.com/go-json-experiment/json"

	"rollcall/eventlog"
)

// UsageSession is the document of view usage: what one session adds to usage
// rows, in any time zone. [UsageRows] adds them up.
type UsageSession struct {
	SessionID                 string           `json:"sessionId"`
	MeetingID                 string           `json:"meetingId"`
	Organizer                 Organizer        `json:"organizer"`
	Status                    string           `json:"status"`
	StartedAt                 eventlog.Time    `json:"startedAt"`
	MaxConcurrentParticipants int              `json:"maxConcurrentParticipants"`
	ParticipantSeconds        eventlog.Seconds `json:"participantSeconds"`
	AttendedSeconds           eventlog.Seconds `json:"attendedSeconds"`
	// RevisedAt is the latest received time among the records that the document
	// rests on. Of those that give the same value the earliest counts.
	RevisedAt eventlog.Time `json:"revisedAt"`
	// SlotSeconds is the length of a slot, 900 unless the session has more than
	// 2,048 slots with something in them; then the least 900·2ⁿ that has not.
	SlotSeconds int64 `json:"slotSeconds"`
	// Slots are sorted; one that is not listed changes nothing.
	Slots []UsageSlot `json:"slots"`
}

// UsageSlot is what begins, ends, or changes in one slot. In JSON it is an array
// of the five numbers. The connected time of a slot is ConnectedMicros plus the
// slot's length times the sum of ConnectedChange up to and with this slot;
// attended time likewise.
type UsageSlot struct {
	// Slot counts slots from 1970-01-01T00:00:00Z.
	Slot int64
	// ConnectedMicros and AttendedMicros are of intervals that cover a part of
	// the slot, in microseconds.
	ConnectedMicros, AttendedMicros int64
	// ConnectedChange and AttendedChange are by how many more intervals cover
	// this slot as a whole than the one before.
	ConnectedChange, AttendedChange int64
}

var usageSessionMembers = document(
	textField("sessionId", "The session.", func(u *UsageSession) string { return u.SessionID }),
	textField("meetingId", "The meeting, a reusable room.", func(u *UsageSession) string { return u.MeetingID }).orNull(),
	objectField("organizer", "Who the session belongs to.", func(u *UsageSession) *Organizer { return u.Organizer.known() }, organizerMembers),
	textField("status", "As in view sessions.", func(u *UsageSession) string { return u.Status }).oneOf(Live, Ended),
	timeField("startedAt", "The session counts on the day of this time.", func(u *UsageSession) eventlog.Time { return u.StartedAt }),
	integerField("maxConcurrentParticipants", "The most connections at one time.", func(u *UsageSession) int64 { return int64(u.MaxConcurrentParticipants) }),
	secondsField("participantSeconds", "The sum of the lengths of all closed connections.", func(u *UsageSession) eventlog.Seconds { return u.ParticipantSeconds }),
	secondsField("attendedSeconds", "The participants' time in the session, each one's devices at once counted once.", func(u *UsageSession) eventlog.Seconds { return u.AttendedSeconds }),
	timeField("revisedAt", "The latest received time among the records that all this rests on.", func(u *UsageSession) eventlog.Time { return u.RevisedAt }),
	integerField("slotSeconds", "The length of a slot.", func(u *UsageSession) int64 { return u.SlotSeconds }).unit("seconds"),
	slotsField,
)

var slotsField = member[UsageSession]{
	Field:  Field{Name: "slots", Kind: KindAny, Doc: "Arrays of five numbers, one a slot in which something begins or ends."},
	append: func(b []byte, u *UsageSession) []byte { return appendList(b, u.Slots, appendSlot) },
}

func appendSlot(b []byte, u *UsageSlot) []byte { return u.AppendJSON(b) }

// AppendJSON appends the stored form of the document.
func (u *UsageSession) AppendJSON(b []byte) []byte { return usageSessionMembers.appendJSON(b, u) }

// MarshalJSON returns the stored form.
func (u UsageSession) MarshalJSON() ([]byte, error) { return u.AppendJSON(nil), nil }

// AppendJSON appends the array of five numbers.
func (u *UsageSlot) AppendJSON(b []byte) []byte {
	b = strconv.AppendInt(append(b, '['), u.Slot, 10)
	for _, v := range [...]int64{u.ConnectedMicros, u.AttendedMicros, u.ConnectedChange, u.AttendedChange} {
		b = strconv.AppendInt(append(b, ','), v, 10)
	}
	return append(b, ']')
}

// MarshalJSON returns the array of five numbers.
func (u UsageSlot) MarshalJSON() ([]byte, error) { return u.AppendJSON(nil), nil }

// UnmarshalJSON reads the array of five numbers.
func (u *UsageSlot) UnmarshalJSON(b []byte) error {
	var v [5]int64
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*u = UsageSlot{v[0], v[1], v[2], v[3], v[4]}
	return nil
}
