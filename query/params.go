package query

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // time zones, where the system has none
	"unicode/utf8"

	"rollcall/eventlog"
	"rollcall/query/history"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	defaultWait  = 2 * time.Second
	maxWait      = 30 * time.Second
	// maxParam bounds a parameter's length. A document's texts are cut at 32 KiB,
	// and a cursor, in base64, holds up to three of them.
	maxParam = 192 << 10
	// maxSearchLines bounds q: each line is a condition of its own.
	maxSearchLines = 16
)

// paramKind is how a parameter's text is read.
type paramKind uint8

const (
	paramText paramKind = iota // not empty
	paramSearch
	paramSeq
	paramLimit
	paramBool
	paramEnum
	paramTime
	paramDate
	paramDuration
	paramWait
	paramZone
	paramAsOf
	paramSort
	paramCursor
	paramList  // comma list of enum
	paramRatio // from 0 to 1
)

// param is one parameter of a route.
type param struct {
	name   string
	kind   paramKind
	inPath bool
	enum   []string
	doc    string
	// form: it changes how a list is cut, ordered and written, and when it is answered, but
	// not what is on it: a cursor stays valid when it changes.
	form bool
}

// values are the parsed parameters of a request.
type values struct {
	text      map[string]string
	numbers   map[string]uint64
	bools     map[string]bool
	times     map[string]eventlog.Time
	durations map[string]time.Duration
	ratios    map[string]float64
	lists     map[string][]string
	zone      *time.Location
	asOf      *history.Moment
	// all: the answer goes on to the list's end, page after page.
	all bool
}

// parse reads a request's parameters by the route's list. What the list does
// not name, or names and can't be read, is a 400.
func parse(params []param, path map[string]string, query url.Values) (*values, error) {
	v := &values{text: map[string]string{}, numbers: map[string]uint64{}, bools: map[string]bool{}, times: map[string]eventlog.Time{},
		durations: map[string]time.Duration{}, ratios: map[string]float64{}, lists: map[string][]string{}, zone: time.UTC}
	for name, given := range query {
		i := slices.IndexFunc(params, func(p param) bool { return p.name == name && !p.inPath })
		switch {
		case i < 0:
			return nil, badRequest("unknown parameter %q; this path takes %s", name, names(params))
		case len(given) != 1 && params[i].kind != paramList:
			return nil, badRequest("parameter %s is given %d times", name, len(given))
		}
	}
	for _, p := range params {
		s, ok := path[p.name], p.inPath
		if !p.inPath {
			if given := query[p.name]; len(given) > 0 {
				s, ok = strings.Join(given, ","), true // several of a list alone
			}
		}
		if !ok {
			continue
		}
		if len(s) > maxParam {
			return nil, badRequest("parameter %s is longer than %d bytes", p.name, maxParam)
		}
		if !utf8.ValidString(s) {
			return nil, badRequest("parameter %s is no UTF-8", p.name)
		}
		if want := v.set(p, s); want != "" {
			return nil, badRequest("parameter %s can't be %s; want %s", p.name, strconv.Quote(s[:min(len(s), 64)]), want)
		}
	}
	return v, nil
}

func names(params []param) string {
	var all []string
	for _, p := range params {
		if !p.inPath {
			all = append(all, p.name)
		}
	}
	return strings.Join(all, ", ")
}

// set reads one parameter. It returns what was wanted where s is something else.
func (v *values) set(p param, s string) (want string) {
	switch p.kind {
	case paramCursor:
		v.text[p.name] = s
		return ""
	case paramSearch:
		v.text[p.name] = s
		return unless(strings.Count(s, "\n") < maxSearchLines, "a text of up to 16 lines")
	case paramText, paramSort:
		v.text[p.name] = s
		return unless(s != "", "a text that is not empty")
	case paramEnum:
		v.text[p.name] = s
		return unless(slices.Contains(p.enum, s), "one of "+strings.Join(p.enum, ", "))
	case paramList:
		for e := range strings.SplitSeq(s, ",") {
			if !slices.Contains(p.enum, e) {
				return "some of " + strings.Join(p.enum, ",")
			}
			if !slices.Contains(v.lists[p.name], e) {
				v.lists[p.name] = append(v.lists[p.name], e)
			}
		}
		return ""
	case paramSeq:
		n, err := strconv.ParseUint(s, 10, 63)
		v.numbers[p.name] = n
		return unless(err == nil, "a sequence, like 42")
	case paramLimit:
		n, err := strconv.ParseUint(s, 10, 31)
		v.numbers[p.name] = n
		return unless(err == nil && n >= 1 && n <= maxLimit, "a number from 1 to 1000")
	case paramBool:
		v.bools[p.name] = s == "true"
		return unless(s == "true" || s == "false", "true or false")
	case paramTime:
		t, ok := parseTime(s)
		v.times[p.name] = t
		return unless(ok, "an RFC 3339 time, like 2026-01-31T12:00:00Z")
	case paramDate:
		_, err := time.Parse(time.DateOnly, s)
		v.text[p.name] = s
		return unless(err == nil, "a date, like 2026-01-31")
	case paramDuration, paramWait:
		return v.setDuration(p, s)
	case paramZone:
		return v.setZone(s)
	case paramAsOf:
		return v.setAsOf(s)
	case paramRatio:
		x, err := strconv.ParseFloat(s, 64)
		v.ratios[p.name] = x
		return unless(err == nil && plainNumber.MatchString(s) && x >= 0 && x <= 1, "a number from 0 to 1, like 0.85")
	}
	return "another kind"
}

func unless(ok bool, want string) string {
	if ok {
		return ""
	}
	return want
}

func (v *values) setDuration(p param, s string) string {
	d, err := time.ParseDuration(s)
	v.durations[p.name] = d
	if p.kind == paramWait {
		return unless(err == nil && d >= 0 && d <= maxWait, "a duration up to 30s, like 2s")
	}
	return unless(err == nil && d >= 0, "a duration, like 10m or 24h")
}

func (v *values) setZone(s string) string {
	zone, err := ParseZone(s)
	if err != nil {
		return wantZone
	}
	v.zone = zone
	return ""
}

const wantZone = "an IANA time zone, like Asia/Kolkata"

// zoneName is the form of IANA's names. Other names in a system's directory of
// zones, such as localtime, posixrules and right/…, mean something else on
// each host.
var zoneName = regexp.MustCompile(`^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$`)

// ParseZone returns the time zone that a name of IANA's means everywhere.
func ParseZone(name string) (*time.Location, error) {
	if !zoneName.MatchString(name) || name == "Local" || name == "Factory" || strings.HasPrefix(name, "SystemV/") {
		return nil, fmt.Errorf("time zone %q: want %s", name, wantZone)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: %w; want %s", name, err, wantZone)
	}
	return zone, nil
}

func (v *values) setAsOf(s string) string {
	if n, err := strconv.ParseUint(s, 10, 63); err == nil {
		v.asOf = &history.Moment{Seq: eventlog.Seq(n)}
		return ""
	}
	t, ok := parseTime(s)
	v.asOf = &history.Moment{At: t}
	return unless(ok, "a sequence or an RFC 3339 time")
}

// parseTime reads an RFC 3339 time or, as midnight UTC, a date.
func parseTime(s string) (eventlog.Time, bool) {
	if len(s) == len(time.DateOnly) {
		s += "T00:00:00Z"
	}
	t, ok := eventlog.ParseTime(s)
	return t, ok && !t.IsZero()
}

// given reports whether a parameter that narrows a list down has a value.
func (v *values) given(name string) bool {
	_, b := v.bools[name]
	_, t := v.times[name]
	_, d := v.durations[name]
	_, r := v.ratios[name]
	return b || t || d || r || v.text[name] != ""
}

// limit is how many items a page holds.
func (v *values) limit() int {
	if v.all {
		return maxLimit
	}
	if n, ok := v.numbers["limit"]; ok {
		return int(n)
	}
	return defaultLimit
}

// wait is how long to wait for minSequence.
func (v *values) wait() time.Duration {
	if d, ok := v.durations["wait"]; ok {
		return d
	}
	return defaultWait
}

func (v *values) minSequence() eventlog.Seq { return eventlog.Seq(v.numbers["minSequence"]) }
