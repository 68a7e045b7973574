package eventlog

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestSlice: other services find a meeting's records by this hash; FORMAT
// promises FNV-1a of 64 bits.
func TestSlice(t *testing.T) {
	for id, want := range map[string]int{"": 0xcbf29ce484222325 % 64, "a": 0xaf63dc4c8601ec8c % 64, "foobar": 0x85944171f73967e8 % 64} {
		if got := Slice(id); got != want {
			t.Errorf("Slice(%q) = %d; want %d", id, got, want)
		}
	}
}

// TestNamesAtTheirEdges: the first and last letter of each range are in it, their
// neighbours are not.
func TestNamesAtTheirEdges(t *testing.T) {
	const letters = "azAZ09-_"
	for c := range byte(0x80) {
		name := "x" + string(rune(c))
		clean := strings.ContainsRune(letters, rune(c)) || 'a' < c && c < 'z' || 'A' < c && c < 'Z' || '0' < c && c < '9'
		if got := EscapeID(name) == name; got != clean {
			t.Errorf("EscapeID(%q) leaves it as it is: %v; want %v", name, got, clean)
		}
		body, err := json.Marshal(map[string]string{"event": name})
		if err != nil {
			t.Fatal(err)
		}
		if got := Identify(body).Name == name; got != (clean || c == '.') {
			t.Errorf("Identify(%s).Name is as sent: %v; want %v", body, got, clean || c == '.')
		}
	}
	for _, n := range []int{64, 65} {
		name := strings.Repeat("n", n)
		if got := Identify([]byte(`{"event":"`+name+`"}`)).Name == name; got != (n == 64) {
			t.Errorf("Identify() takes a name of %d letters: %v", n, got)
		}
	}
}

// TestTextsAtTheirLimit: a text as long as it may be is whole, one byte more is
// a problem.
func TestTextsAtTheirLimit(t *testing.T) {
	for _, more := range []int{0, 1} {
		id, title := strings.Repeat("i", maxText+more), strings.Repeat("t", maxTitle+more)
		raw := `["` + strings.Repeat("r", maxText-4+more) + `"]`
		ev := Decode(&Record{Body: fmt.Appendf(nil,
			`{"event":"recording.statusUpdate","meeting":{"id":%q,"title":%q},"recording":{"id":"r","stopReason":%s}}`, id, title, raw)})
		whole := more == 0
		if (ev.MeetingID == id) != whole || (ev.Title == title) != whole || (string(ev.Recording.StopReason) == raw) != whole {
			t.Errorf("Decode() of texts %d bytes over their limits keeps %d, %d and %d bytes; want them whole: %v",
				more, len(ev.MeetingID), len(ev.Title), len(ev.Recording.StopReason), whole)
		}
		for _, name := range []string{"meeting.id", "meeting.title", "recording.stopReason"} {
			if slices.Contains(ev.Problems, name) == whole {
				t.Errorf("Problems of texts %d bytes over their limits = %v; want %s there: %v", more, ev.Problems, name, !whole)
			}
		}
	}
}

// TestUsualBodiesAreReadFast: what nearly all bodies look like costs no second
// reader; what is unusual, or no JSON, is left to it.
func TestUsualBodiesAreReadFast(t *testing.T) {
	for body, want := range map[string]bool{
		`{}`: true, `{ "event" : "a" , "meeting" : { } }`: true, "{\"a\":\t[1,{\"b\":[]},null,true,false ,\"\"],\r\n\"event\":\"x\"} ": true,
		`{"a":{"b":1,"c":{"d":"e"},"f":0}}`: true, `{"event":"x","meeting":{"id":"m","startedAt":null},"n":10}`: true,
		`{"a":[` + strings.Repeat("[", lexerDepth-1) + strings.Repeat("]", lexerDepth-1) + `]}`: true,
		`{"a":[` + strings.Repeat("[", lexerDepth) + strings.Repeat("]", lexerDepth) + `]}`:     false,
		`{"event":"\u0061"}`: false, `{"a":-1}`: false, `{"a":1.5}`: false, `{"a":01}`: false, `{"a":nul}`: false, `{"a":[1 2]}`: false,
		`{"a":{"b" 1}}`: false, `{"a":{1:2}}`: false, `{"a":{b:1}}`: false, `{"a":[1,]}`: false, `{"a":{"b":1,}}`: false, `{"a"}`: false, `[]`: false, `{}x`: false,
		"{\"a\":\"\x1f\"}": false, "{\"a\":\" \"}": true,
	} {
		var p payload
		if got := newParser().parseFast([]byte(body), &p); got != want {
			t.Errorf("parseFast(%q) = %v; want %v", body, got, want)
		}
	}
}

// TestSecondsOfOthers: numbers that AppendJSON would not write are rounded to the
// nearest microsecond.
func TestSecondsOfOthers(t *testing.T) {
	for text, want := range map[string]Seconds{
		"1.0000004": 1_000_000, "1.0000006": 1_000_001, "-1.0000004": -1_000_000, "-1.0000006": -1_000_001, "1e3": 1000 * Second, "-2.5e-1": -250_000,
		"0.0000001": 0, "1.2345678": 1_234_568, "-0.25": -250_000, "12.123456": 12_123_456, "3000000000.0000001": 3_000_000_000 * Second,
	} {
		var got Seconds
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("Unmarshal(%s) = %d µs, %v; want %d", text, int64(got), err, int64(want))
		}
	}
	for _, text := range []string{`"x"`, `{}`, `true`} {
		var got Seconds
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("Unmarshal(%s) = %d; want an error", text, int64(got))
		}
	}
}

// TestSizes: a size may come as a number or as text of one; what is none, or is
// less than nothing or more than can be, is a problem.
func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		`0`: 0, `7`: 7, `"7"`: 7, `2.9e0`: 2, `"1e3"`: 1000, `9223372036854775807`: 1<<63 - 1, `-1`: -1, `"-1"`: -1, `-0.5`: -1, `9223372036854775808`: -1, `1e30`: -1,
		`" 7"`: -1, `"7 x"`: -1, `""`: -1, `true`: -1, `"true"`: -1, `[7]`: -1, `"[7]"`: -1, `"x"`: -1,
	} {
		ev := Decode(&Record{Body: []byte(`{"event":"recording.statusUpdate","recording":{"id":"r","fileSize":` + text + `}}`)})
		if got := ev.Recording; got.HasFileSize != (want >= 0) || want >= 0 && got.FileSize != want || (len(ev.Problems) > 0) != (want < 0) {
			t.Errorf("size %s = %d, %v, problems %v; want %d", text, got.FileSize, got.HasFileSize, ev.Problems, want)
		}
	}
}

// TestProblemsNameTheirPlace: what is wrong in an object is named with where it
// stands.
func TestProblemsNameTheirPlace(t *testing.T) {
	for body, want := range map[string]string{
		`{"event":"meeting.started","meeting":{"organizedBy":{"id":7}}}`:                      "[meeting.organizedBy.id]",
		`{"event":"meeting.chatSynced","organizedBy":{"name":7}}`:                             "[organizedBy.name]",
		`{"event":"meeting.started","meeting":{"organizedBy":{"id":7},"title":8},"reason":9}`: "[meeting.organizedBy.id meeting.title reason]",
	} {
		if got := fmt.Sprint(Decode(&Record{Body: []byte(body)}).Problems); got != want {
			t.Errorf("Problems of %s = %s; want %s", body, got, want)
		}
	}
}
