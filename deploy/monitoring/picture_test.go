package monitoring

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"rollcall/deploy/internal/built"
)

// shown is how much of the past the picture shows, at one value each step.
const (
	shown = 5 * time.Minute
	step  = 5 * time.Second
)

// panel is one of the board's, as far as it is drawn.
type panel struct {
	ID          int             `json:"id"`
	Title       string          `json:"title"`
	Type        string          `json:"type"`
	GridPos     json.RawMessage `json:"gridPos"`
	FieldConfig json.RawMessage `json:"fieldConfig"`
	Targets     []struct{ Expr, LegendFormat string }
}

// series is one line of a panel. A value that there is none of is null.
type series struct {
	Label  string     `json:"label"`
	Values []*float64 `json:"values"`
}

// TestBoardIsDrawn draws the board as a picture, from what a real Prometheus answers
// to its queries about a demo that somebody reads, and that somebody sends to without
// a signature. It takes six minutes, so it is run on request:
//
//	ROLLCALL_BOARD_PICTURE=$PWD/docs/img/board.png go test -run TestBoardIsDrawn ./monitoring
func TestBoardIsDrawn(t *testing.T) {
	file := os.Getenv("ROLLCALL_BOARD_PICTURE")
	if file == "" {
		t.Skip("the board's picture is drawn on request only: ROLLCALL_BOARD_PICTURE=FILE")
	}
	prometheus, chromium := built.Tool(t, "prometheus"), built.Tool(t, "chromium")
	demo := startDemo(t)
	address := startPrometheus(t, prometheus, demo)
	within(t, 3*shown, "enough to draw", func() bool {
		traffic(t, demo)
		rows, err := ask(address, fmt.Sprintf("count_over_time(rollcall_ready[%s]) > %d", 2*shown, int(shown/time.Second)))
		return err == nil && len(rows) > 0
	})
	end := time.Now().Truncate(step)
	html := filepath.Join(t.TempDir(), "board.html")
	page := drawn(t, address, end)
	if err := os.WriteFile(html, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	built.Run(t, chromium, "--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu", "--window-size=1592,2010", "--screenshot="+file, "file://"+html)
	if info, err := os.Stat(file); err != nil || info.Size() < 50_000 {
		t.Errorf("the picture: %v, %v; want one with something in it", info, err)
	}
}

// traffic is one tick of readers, and of a sender without a signature.
func traffic(t *testing.T, demo addresses) {
	t.Helper()
	paths := []string{"/v1/sessions", "/v1/sessions?status=LIVE", "/v1/meetings/live", "/v1/recordings", "/v1/projections", "/v1/participants?q=a"}
	get := func(answer *http.Response, err error) {
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	for range rand.IntN(3) {
		get(http.Get("http://" + demo.API + paths[rand.IntN(len(paths))]))
	}
	if rand.IntN(20) == 0 {
		get(http.Post("http://"+demo.Ingest+"/webhooks/demo", "application/json", strings.NewReader("{}")))
	}
}

// drawn is the page that shows the board.
func drawn(t *testing.T, address string, end time.Time) string {
	t.Helper()
	var board struct{ Panels []panel }
	if err := json.Unmarshal([]byte(read(t, "board.json")), &board); err != nil {
		t.Fatal(err)
	}
	begin := end.Add(-shown)
	answers := struct {
		Times  []int64          `json:"times"`
		Panels map[int][]series `json:"panels"`
	}{Panels: map[int][]series{}}
	for at := begin; !at.After(end); at = at.Add(step) {
		answers.Times = append(answers.Times, at.Unix())
	}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			answers.Panels[p.ID] = append(answers.Panels[p.ID], lines(t, address, query{p.Title, target.Expr}, target.LegendFormat, answers.Times)...)
		}
		if p.Type != "row" && len(answers.Panels[p.ID]) == 0 && !quiet[p.Title] {
			t.Errorf("panel %q has no data", p.Title)
		}
	}
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	assets := built.Root + "/query/page/assets/"
	var page strings.Builder
	err := template.Must(template.ParseFiles("testdata/board.html")).Execute(&page, map[string]any{
		"UPlot": read(t, assets+"uplot.min.js"), "Style": read(t, assets+"uplot.min.css"), "Panels": text(board.Panels), "Answers": text(answers),
		"Begin": begin.Unix(), "End": end.Unix(),
		"Caption": "deploy/monitoring/board.json, drawn by TestBoardIsDrawn with uPlot: this is no Grafana. Data: a demo, scraped each second by a real Prometheus, " + end.UTC().Format("2006-01-02 15:04 MST") + ", times UTC.",
	})
	if err != nil {
		t.Fatal(err)
	}
	return page.String()
}

// lines asks for a query's values at each time.
func lines(t *testing.T, address string, q query, legend string, times []int64) (all []series) {
	t.Helper()
	answer, err := http.Get("http://" + address + "/api/v1/query_range?" + url.Values{
		"query": {q.promQL()}, "start": {fmt.Sprint(times[0])}, "end": {fmt.Sprint(times[len(times)-1])}, "step": {step.String()},
	}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var result struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&result); err != nil || result.Status != "success" {
		t.Fatalf("panel %q: %v %s", q.title, err, result.Error)
	}
	for _, r := range result.Data.Result {
		s := series{Label: legend, Values: make([]*float64, len(times))}
		for name, value := range r.Metric {
			s.Label = strings.ReplaceAll(s.Label, "{{"+name+"}}", value)
		}
		for _, v := range r.Values {
			at, _ := v[0].(float64)
			number, err := strconv.ParseFloat(fmt.Sprint(v[1]), 64)
			if err == nil && !math.IsNaN(number) && !math.IsInf(number, 0) {
				s.Values[(int64(at)-times[0])/int64(step/time.Second)] = &number
			}
		}
		all = append(all, s)
	}
	return all
}
