package console

import (
	"time"

	"rollcall/query"
)

// Zone is a time zone that was named on the command line. Its zero value: none was.
type Zone struct{ *time.Location }

// UnmarshalText takes the names that the read API takes.
func (z *Zone) UnmarshalText(name []byte) (err error) {
	if len(name) == 0 {
		return nil
	}
	z.Location, err = query.ParseZone(string(name))
	return err
}

// Or is the zone, or the given one where none was named.
func (z Zone) Or(other *time.Location) *time.Location {
	if z.Location == nil {
		return other
	}
	return z.Location
}

// zone is that of the times in tables.
func (f TableFlags) zone() *time.Location {
	if f.UTC {
		return time.UTC
	}
	return f.Timezone.Or(time.Local)
}

// Time is a time as a line of text has it: with its zone.
func (f TableFlags) Time(t time.Time) string {
	return t.In(f.zone()).Format(time.DateTime + " MST")
}
