package node

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/ingest/web"
)

// Check is one thing that readiness depends on. A note is shown with ?verbose
// and decides nothing.
type Check struct {
	Name string
	Run  func(ctx context.Context) (note string, err error)
}

// health answers /livez and /readyz.
type health struct {
	mu       sync.Mutex
	checks   []Check
	starting bool
	stopping bool
}

// Add adds checks that readiness depends on.
func (h *health) Add(c ...Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, c...)
}

func (h *health) started() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.starting = false
}

// Stop makes the process not ready, for good.
func (h *health) Stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopping = true
}

// Report runs every check. It is ready where none fails.
func (h *health) Report(ctx context.Context) (lines []string, ready bool) {
	h.mu.Lock()
	checks, starting, stopping := slices.Clone(h.checks), h.starting, h.stopping
	h.mu.Unlock()
	ready = !starting && !stopping
	if starting {
		lines = append(lines, "[-]start: not finished")
	}
	if stopping {
		lines = append(lines, "[-]stop: under way")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for _, c := range checks {
		note, err := c.Run(ctx)
		switch {
		case err != nil:
			ready = false
			lines = append(lines, "[-]"+c.Name+": "+console.OneLine(err))
		case note != "":
			lines = append(lines, "[+]"+c.Name+": "+note)
		default:
			lines = append(lines, "[+]"+c.Name+" ok")
		}
	}
	return lines, ready
}

// ProblemTexts say what a failed check means, in words that are safe to publish.
var ProblemTexts = map[string]string{
	"log":    "the log takes nothing now",
	"store":  "nothing can be stored: the disk of --data-dir is full, or can't be written",
	"ingest": "webhooks are refused: the log takes nothing now, or no source has a usable key",
	"query":  "readers get no answers: views are not loaded",
}

// problems are the checks that fail now, in fixed words. Views have a state of
// their own.
func (h *health) problems(ctx context.Context) (all []string) {
	lines, _ := h.Report(ctx)
	for _, line := range lines {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "[-]"), ":")
		if text := ProblemTexts[name]; text != "" && strings.HasPrefix(line, "[-]") {
			all = append(all, text)
		}
	}
	return all
}

func (h *health) readyz(w http.ResponseWriter, r *http.Request) {
	lines, ready := h.Report(r.Context())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if r.URL.Query().Has("verbose") || !ready {
		fmt.Fprintln(w, strings.Join(lines, "\n"))
	}
	if ready {
		fmt.Fprintln(w, "ready")
	} else {
		fmt.Fprintln(w, "not ready")
	}
}

// adminServer serves health and metrics. On loopback it knows localhost and
// addresses as hosts, or a page could read it through a name that it makes point
// here; elsewhere it is asked by whatever name monitoring has for it.
//
// profiles are served where they are not nil.
func adminServer(h *health, metrics prometheus.Gatherer, local bool, profiles http.Handler) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	if profiles != nil {
		mux.Handle("GET "+profilesPath, profiles)
	}
	known := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local && !web.KnownHost(r.Host, nil) {
			http.Error(w, "this host is not known here: use localhost or the address", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, r)
	})
	return &http.Server{Handler: known, ReadHeaderTimeout: 2 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 75 * time.Second, MaxHeaderBytes: 16 << 10}
}

// newRegistry has the process's own metrics and the build.
func newRegistry(v Build) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "rollcall_build_info", Help: "1, with the build in the labels.",
		ConstLabels: prometheus.Labels{"version": v.Version, "revision": v.Revision, "goversion": v.Go},
	})
	build.Set(1)
	r.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
