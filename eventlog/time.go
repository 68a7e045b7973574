package eventlog

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Time is an instant in whole microseconds since 0001-01-01T00:00:00Z. The zero
// Time means "no time": null in JSON, and before every other instant. Finer
// digits of what was sent are cut off.
type Time int64

const (
	microsecond Time = 1
	second           = 1_000_000 * microsecond
	minute           = 60 * second
	hour             = 60 * minute
	day              = 24 * hour

	// unixEpoch is 1970-01-01T00:00:00Z as a Time.
	unixEpoch Time = 719162 * day
	// endOfTime is 10000-01-01T00:00:00Z, the first instant RFC 3339 can't write.
	endOfTime Time = 3652059 * day
)

// TimeOf returns t cut to whole microseconds. The zero time.Time, which is where
// Time begins, gives no Time.
func TimeOf(t time.Time) Time {
	return Time(t.UnixMicro()) + unixEpoch
}

// TimeOfUnixMicro returns the Time that is us microseconds after 1970.
func TimeOfUnixMicro(us int64) Time { return Time(us) + unixEpoch }

// UnixMicro returns microseconds since 1970-01-01T00:00:00Z.
func (t Time) UnixMicro() int64 { return int64(t - unixEpoch) }

// Std returns t as a time.Time in UTC; the zero time.Time for no time.
func (t Time) Std() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMicro(t.UnixMicro()).UTC()
}

// IsZero reports whether t is no time.
func (t Time) IsZero() bool { return t == 0 }

// Sub returns t − u in whole microseconds. Neither may be the zero Time.
func (t Time) Sub(u Time) Seconds { return Seconds(t - u) }

// Add returns t + d.
func (t Time) Add(d Seconds) Time { return t + Time(d) }

// String is RFC 3339 in UTC with up to six fraction digits; "" for no time.
func (t Time) String() string {
	if t == 0 {
		return ""
	}
	return string(t.AppendText(nil))
}

// AppendText appends what String returns.
func (t Time) AppendText(b []byte) []byte {
	if t == 0 {
		return b
	}
	return t.Std().AppendFormat(b, "2006-01-02T15:04:05.999999Z")
}

// AppendJSON appends the JSON string, or null for no time.
func (t Time) AppendJSON(b []byte) []byte {
	if t == 0 {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = t.AppendText(b)
	return append(b, '"')
}

// MarshalJSON writes an RFC 3339 string in UTC, or null for no time.
func (t Time) MarshalJSON() ([]byte, error) { return t.AppendJSON(nil), nil }

// UnmarshalJSON reads what ParseTime reads, or null. Anything else is an error.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = 0
		return nil
	}
	if len(b) < 2 || b[0] != '"' {
		return timeError(b)
	}
	v, ok := ParseTime(string(b[1 : len(b)-1]))
	if !ok {
		return timeError(b)
	}
	*t = v
	return nil
}

type timeError []byte

func (e timeError) Error() string {
	return "parse time " + strconv.Quote(string(e[:min(len(e), 64)])) + ": want RFC 3339, like 2026-01-31T12:00:00Z"
}

// ParseTime reads a date and time of day as the providers send them: RFC 3339
// with any offset, `T` or a space between date and time, and no zone meaning
// UTC. Fractions are cut to microseconds; a leap second is the next second.
// 0001-01-01T00:00:00Z, Go's way to say "none", reads as the zero Time.
func ParseTime(s string) (Time, bool) {
	const form = "2006-01-02T15:04:05"
	if len(s) < len(form) || s[4] != '-' || s[7] != '-' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	if c := s[10]; c != 'T' && c != 't' && c != ' ' {
		return 0, false
	}
	year, ok0 := digits(s[0:4])
	month, ok1 := digits(s[5:7])
	mday, ok2 := digits(s[8:10])
	hh, ok3 := digits(s[11:13])
	mm, ok4 := digits(s[14:16])
	ss, ok5 := digits(s[17:19])
	if !(ok0 && ok1 && ok2 && ok3 && ok4 && ok5) || month < 1 || month > 12 || mday < 1 ||
		mday > daysIn(year, month) || hh > 23 || mm > 59 || ss > 60 {
		return 0, false
	}
	fraction, rest, ok := parseFraction(s[19:])
	if !ok {
		return 0, false
	}
	offset, ok := parseOffset(rest)
	if !ok {
		return 0, false
	}
	t := Time(daysBefore(year, month, mday))*day + Time(hh)*hour + Time(mm)*minute + Time(ss)*second + fraction - offset
	if t < 0 || t >= endOfTime {
		return 0, false
	}
	return t, true
}

// parseFraction reads `.` and digits, if they are there.
func parseFraction(s string) (fraction Time, rest string, ok bool) {
	if s == "" || s[0] != '.' {
		return 0, s, true
	}
	i, unit := 1, second
	for ; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		unit /= 10
		fraction += Time(s[i]-'0') * unit
	}
	return fraction, s[i:], i > 1
}

// parseOffset reads `Z`, `±hh:mm` or nothing, which means UTC.
func parseOffset(s string) (Time, bool) {
	if s == "" || s == "Z" || s == "z" {
		return 0, true
	}
	if len(s) != 6 || (s[0] != '+' && s[0] != '-') || s[3] != ':' {
		return 0, false
	}
	hh, ok1 := digits(s[1:3])
	mm, ok2 := digits(s[4:6])
	if !ok1 || !ok2 || hh > 23 || mm > 59 {
		return 0, false
	}
	d := Time(hh)*hour + Time(mm)*minute
	if s[0] == '-' {
		d = -d
	}
	return d, true
}

func digits(s string) (n int, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

func leap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func daysIn(year, month int) int {
	switch month {
	case 2:
		if leap(year) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysBefore counts the days from 0001-01-01 to a date (proleptic Gregorian).
// For the year 0 it is negative.
func daysBefore(year, month, mday int) int {
	y := year - 1
	n := y*365 + floorDiv(y, 4) - floorDiv(y, 100) + floorDiv(y, 400)
	for m := 1; m < month; m++ {
		n += daysIn(year, m)
	}
	return n + mday - 1
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// Seconds is a length of time in whole microseconds. In JSON it is a number of
// seconds with as many fraction digits as it needs.
type Seconds int64

// Second is one second.
const Second = Seconds(second)

// AppendJSON appends the number of seconds.
func (d Seconds) AppendJSON(b []byte) []byte {
	us := int64(d)
	if us < 0 {
		b = append(b, '-')
		us = -us
	}
	b = strconv.AppendInt(b, us/1e6, 10)
	frac := us % 1e6
	if frac == 0 {
		return b
	}
	b = append(b, '.')
	for unit := int64(1e5); frac > 0; unit /= 10 {
		b = append(b, byte('0'+frac/unit))
		frac %= unit
	}
	return b
}

// MarshalJSON writes a number of seconds.
func (d Seconds) MarshalJSON() ([]byte, error) { return d.AppendJSON(nil), nil }

// UnmarshalJSON reads a number of seconds: what AppendJSON writes exactly, any
// other number rounded to the nearest microsecond.
func (d *Seconds) UnmarshalJSON(b []byte) error {
	whole, frac, _ := strings.Cut(string(b), ".")
	if len(frac) <= 6 {
		if us, err := strconv.ParseInt(whole+(frac + "000000")[:6], 10, 64); err == nil {
			*d = Seconds(us)
			return nil
		}
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return err
	}
	if f < 0 {
		*d = Seconds(f*1e6 - 0.5)
	} else {
		*d = Seconds(f*1e6 + 0.5)
	}
	return nil
}

// Float returns d in seconds.
func (d Seconds) Float() float64 { return float64(d) / 1e6 }

// Clock returns d in the form h:mm:ss, like 26:03:09, rounded to a second.
func (d Seconds) Clock() string {
	sign, s := "", (d+Second/2)/Second
	if d < 0 {
		sign, s = "-", (Second/2-d)/Second
	}
	return fmt.Sprintf("%s%d:%02d:%02d", sign, s/3600, s/60%60, s%60)
}

// Percent returns a share as a percentage with one decimal and without its sign, like
// 83.3; a half is rounded up.
func Percent(share float64) string {
	return strconv.FormatFloat(math.Floor(1000*share+0.5)/10, 'f', 1, 64)
}
