package chart

import (
	"fmt"
	"math"
	"strings"
	"time"

	"rollcall/eventlog"
	"rollcall/projections"
)

const (
	usageTop  = 76
	usageHigh = 260
	usageLeft = 76
	usageWide = width - usageLeft - margin
)

// Usage draws usage rows by day: participant minutes as bars, recording minutes
// as a dashed line. Rows of one day (one an organizer) are added up. Days from
// the first row's to the last row's are all drawn, those without a row as 0; rows
// without a day are left out. zone is only named.
func Usage(rows []projections.UsageRow, zone string) []byte {
	days, people, recorded := daily(rows)
	most := 0.0
	var allPeople, allRecorded float64
	for i := range days {
		most = max(most, people[i], recorded[i])
		allPeople += people[i]
		allRecorded += recorded[i]
	}
	top := niceTop(most)
	what := "no usage"
	if len(days) > 0 {
		what = fmt.Sprintf("%s to %s, days in %s: %.0f participant minutes, %.0f recording minutes", days[0], days[len(days)-1], zone, allPeople, allRecorded)
	}
	var b strings.Builder
	begin(&b, usageTop+usageHigh+74, "Usage", what)
	fmt.Fprintf(&b, "<text class=\"title\" x=\"%d\" y=\"32\">Minutes per day</text>\n<text class=\"dim\" x=\"%d\" y=\"52\">%s</text>\n", margin, margin, label(what, 200))
	base := usageTop + usageHigh
	y := func(v float64) float64 { return float64(base) - v/top*usageHigh }
	for i := range 5 {
		v := top * float64(i) / 4
		fmt.Fprintf(&b, "<path class=\"grid\" d=\"M%d,%.1fH%d\"/>\n<text class=\"dim num\" x=\"%d\" y=\"%.1f\">%s</text>\n", usageLeft, y(v), usageLeft+usageWide, usageLeft-8, y(v)+4, number(v))
	}
	slot := float64(usageWide) / float64(max(1, len(days)))
	every := max(1, int(math.Ceil(float64(len(days))/10)))
	var d strings.Builder
	for i, day := range days {
		x := usageLeft + slot*float64(i)
		fmt.Fprintf(&b, "<rect class=\"left\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%s: %.1f participant minutes, %.1f recording minutes</title></rect>\n", x+slot*.2, y(people[i]), slot*.6, float64(base)-y(people[i]), day, people[i], recorded[i])
		fmt.Fprintf(&d, "%c%.1f,%.1f", "ML"[min(i, 1)], x+slot/2, y(recorded[i]))
		if i%every == 0 {
			fmt.Fprintf(&b, "<text class=\"dim mid\" x=\"%.1f\" y=\"%d\">%s</text>\n", x+slot/2, base+18, day.String()[5:])
		}
	}
	fmt.Fprintf(&b, "<path class=\"dash\" d=\"%s\"/>\n", d.String())
	fmt.Fprintf(&b, "<rect class=\"left\" x=\"%d\" y=\"%d\" width=\"30\" height=\"11\"/><text class=\"dim\" x=\"%d\" y=\"%d\">participant minutes</text>\n", usageLeft, base+40, usageLeft+36, base+50)
	fmt.Fprintf(&b, "<path class=\"dash\" d=\"M%d,%dh30\"/><text class=\"dim\" x=\"%d\" y=\"%d\">recording minutes</text>\n</svg>\n", usageLeft+200, base+46, usageLeft+236, base+50)
	return []byte(b.String())
}

// maxDays bounds the days that are drawn, the latest ones: more would be
// thinner than a line.
const maxDays = 400

// daily adds the rows up by day, in minutes.
func daily(rows []projections.UsageRow) (days []projections.Date, people, recorded []float64) {
	var first, last projections.Date
	type sum struct{ people, recorded eventlog.Seconds }
	sums := map[projections.Date]sum{}
	for _, r := range rows {
		if r.Day == (projections.Date{}) {
			continue
		}
		s := sums[r.Day]
		sums[r.Day] = sum{s.people + r.ParticipantSeconds, s.recorded + r.RecordingSeconds}
		if first == (projections.Date{}) || r.Day.Before(first) {
			first = r.Day
		}
		if last == (projections.Date{}) || last.Before(r.Day) {
			last = r.Day
		}
	}
	if len(sums) == 0 {
		return nil, nil, nil
	}
	if first.Days(last) >= maxDays {
		d := time.Date(last.Year, last.Month, last.Day-maxDays+1, 0, 0, 0, 0, time.UTC)
		first = projections.Date{Year: d.Year(), Month: d.Month(), Day: d.Day()}
	}
	for day := first; ; day = day.Next() {
		days = append(days, day)
		people = append(people, sums[day].people.Float()/60)
		recorded = append(recorded, sums[day].recorded.Float()/60)
		if day == last {
			return days, people, recorded
		}
	}
}

// niceTop is the least of 1, 2, 4, 5 and 8 times a power of ten that is not below v.
func niceTop(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 4, 5, 8} {
		if f*power >= v {
			return f * power
		}
	}
	return 10 * power
}

// number writes an axis value without a needless fraction.
func number(v float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
}
