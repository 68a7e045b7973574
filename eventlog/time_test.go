package eventlog

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseTime(t *testing.T) {
	for in, want := range map[string]string{
		"2022-12-13T06:57:09.736Z":            "2022-12-13T06:57:09.736Z",
		"2022-12-13 07:08:39.051621Z":         "2022-12-13T07:08:39.051621Z",
		"2022-12-13 07:08:39.0516219Z":        "2022-12-13T07:08:39.051621Z",
		"2022-12-13T07:08:39":                 "2022-12-13T07:08:39Z",
		"2022-12-13T07:08:39+05:30":           "2022-12-13T01:38:39Z",
		"2022-12-13t07:08:39.1-00:30":         "2022-12-13T07:38:39.1Z",
		"2016-12-31T23:59:60Z":                "2017-01-01T00:00:00Z",
		"2026-03-04T12:30:60Z":                "2026-03-04T12:31:00Z",
		"2026-03-04T12:30:60.5+01:00":         "2026-03-04T11:31:00.5Z",
		"2026-03-04T23:59:59.999999Z":         "2026-03-04T23:59:59.999999Z",
		"2024-02-29T00:00:00z":                "2024-02-29T00:00:00Z",
		"9999-12-31T23:59:59.999999Z":         "9999-12-31T23:59:59.999999Z",
		"0001-01-01T00:00:00.000001Z":         "0001-01-01T00:00:00.000001Z",
		"1969-12-31T23:59:59.5Z":              "1969-12-31T23:59:59.5Z",
		"2022-12-13T07:08:39.123456789+00:00": "2022-12-13T07:08:39.123456Z",
	} {
		got, ok := ParseTime(in)
		if !ok || got.String() != want {
			t.Errorf("ParseTime(%q) = %v, %v; want %s", in, got, ok, want)
		}
	}
	for _, in := range []string{
		"", "null", "2022-12-13", "2023-02-29T00:00:00Z", "2022-13-01T00:00:00Z", "2022-12-13T24:00:00Z",
		"2022-12-13T07:08Z", "2022-12-13T07:08:39.Z", "2022-12-13T07:08:39+0530", "2022-12-13T07:08:39 Z",
		" 2022-12-13T07:08:39Z", "2022-12-13T07:08:39Z ", "2022-12-13T07:08:39+24:00", "1671000000",
		"9999-12-31T23:59:59-01:00", "0000-12-31T00:00:00Z", "+022-12-13T07:08:39Z", "2022-12-13T07:08:61Z", "2022-12-13T07:60:00Z", "9999-12-31T23:59:60Z",
	} {
		if got, ok := ParseTime(in); ok {
			t.Errorf("ParseTime(%q) = %v; want unreadable", in, got)
		}
	}
}

func TestParseTimeAgreesWithTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		us := rapid.Int64Range(-62135596800_000000+1, 253402300799_999999).Draw(t, "us")
		zone := rapid.IntRange(-14*60, 14*60).Draw(t, "zone minutes")
		std := time.UnixMicro(us).In(time.FixedZone("", zone*60))
		if y := std.Year(); y < 1 || y > 9999 {
			t.Skip("outside the years that RFC 3339 can write")
		}
		text := std.Format("2006-01-02T15:04:05.999999Z07:00")
		got, ok := ParseTime(text)
		if !ok || got.UnixMicro() != us {
			t.Fatalf("ParseTime(%q) = %d, %v; want %d", text, got.UnixMicro(), ok, us)
		}
		if TimeOf(std) != got || !got.Std().Equal(std) {
			t.Fatalf("TimeOf(%v) = %v; want %v", std, TimeOf(std), got)
		}
		b, _ := json.Marshal(got)
		var back Time
		if err := json.Unmarshal(b, &back); err != nil || back != got {
			t.Fatalf("Unmarshal(%s) = %v, %v; want %v", b, back, err, got)
		}
	})
}

func TestSecondsJSON(t *testing.T) {
	for d, want := range map[Seconds]string{
		0: "0", 60 * Second: "60", 1: "0.000001", 348_582_000: "348.582", -1_500_000: "-1.5", 1_000_010: "1.00001",
	} {
		got := string(d.AppendJSON(nil))
		var back Seconds
		if err := json.Unmarshal([]byte(got), &back); got != want || err != nil || back != d {
			t.Errorf("AppendJSON(%d) = %s, back %d, %v; want %s", int64(d), got, int64(back), err, want)
		}
	}
}

// TestPercent: a half is rounded up, as people do it and as the page does; to the
// nearest even digit 45 s of an hour would be 1.2 %.
func TestPercent(t *testing.T) {
	for _, c := range []struct {
		of, all float64
		want    string
	}{{0, 1, "0.0"}, {45, 3600, "1.3"}, {2997, 3600, "83.3"}, {1, 3, "33.3"}, {2, 3, "66.7"}, {3599, 3600, "100.0"}, {1, 1, "100.0"}} {
		if got := Percent(c.of / c.all); got != c.want {
			t.Errorf("Percent(%v of %v) = %q; want %q", c.of, c.all, got, c.want)
		}
	}
}
