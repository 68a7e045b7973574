package ingest

import (
	"context"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"sync"

	"golang.org/x/time/rate"
)

// source is a configured source with what serves it.
type source struct {
	config Source
	*entrance
	limiter *rate.Limiter // nil: no limit
	metrics sourceMetrics
}

// entrance is how a source's deliveries prove who sent them. It outlives a reload that
// leaves the source's keys as they are.
type entrance struct {
	verifier verifier
	tokens   *fileKeys[pathToken]  // nil: the path has none
	run      func(context.Context) // keeps keys fresh; nil: nothing to do
}

// sources are those that deliveries are taken from, until replaced is closed.
type sources struct {
	list     []Source
	byName   map[string]*source
	replaced chan struct{}
}

// Reload replaces the sources, and Config.SameBody, from the next request on.
// Deliveries under way end as they began. A source that stays as it was keeps its
// keys and what is left of its rate. An error changes nothing. No sources: every
// delivery is a 404. One goroutine at a time may call it.
func (h *Handler) Reload(list []Source, sameBody int) error {
	c := h.config
	c.Sources, c.SameBody = list, sameBody
	if err := c.validateSources(); err != nil {
		return fmt.Errorf("reload ingest: %w", err)
	}
	before := h.active.Load()
	next, err := h.open(list, before.byName)
	if err != nil {
		return fmt.Errorf("reload ingest: %w", err)
	}
	h.limits.sameBody.Store(int64(c.withDefaults().SameBody))
	h.active.Store(next)
	close(before.replaced)
	return nil
}

// open reads the keys of the sources that are new; the others keep theirs.
func (h *Handler) open(list []Source, before map[string]*source) (*sources, error) {
	all := &sources{list: slices.Clone(list), byName: make(map[string]*source, len(list)), replaced: make(chan struct{})}
	for _, s := range list {
		src := &source{config: s, metrics: h.metrics.source(s.Name), limiter: limiterOf(s)}
		was := before[s.Name]
		if was != nil && was.config.Rate == s.Rate && was.config.Burst == s.Burst {
			src.limiter = was.limiter
		}
		if was != nil && s.provenLike(was.config) {
			src.entrance = was.entrance
		} else {
			var err error
			if src.entrance, err = h.newEntrance(s); err != nil {
				return nil, fmt.Errorf("source %q: %w", s.Name, err)
			}
		}
		all.byName[s.Name] = src
	}
	return all, nil
}

// provenLike reports whether deliveries of two sources are verified in the
// same way.
func (s Source) provenLike(o Source) bool {
	s.Rate, s.Burst, s.WebhookIDs, s.OrganizationIDs, s.RequireOrganization = o.Rate, o.Burst, o.WebhookIDs, o.OrganizationIDs, o.RequireOrganization
	return reflect.DeepEqual(s, o)
}

func limiterOf(s Source) *rate.Limiter {
	if s.Rate <= 0 {
		return nil
	}
	burst := s.Burst
	if burst == 0 {
		burst = int(math.Ceil(s.Rate))
	}
	return rate.NewLimiter(rate.Limit(s.Rate), burst)
}

func (h *Handler) newEntrance(s Source) (p *entrance, err error) {
	onRefresh := func(ok bool) {
		result := "ok"
		if !ok {
			result = "error"
		}
		h.metrics.refreshes.WithLabelValues(s.Name, result).Inc()
	}
	p = &entrance{}
	if p.verifier, p.run, err = newVerifier(h.config, s, h.verify, onRefresh); err != nil {
		return nil, err
	}
	if p.tokens, err = newPathTokens(s, h.config.Now); err != nil {
		return nil, fmt.Errorf("path token: %w", err)
	}
	return p, nil
}

// Run keeps the keys that come from URLs fresh. It blocks until ctx ends, and
// returns nil then. It is called once.
func (h *Handler) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	running := map[*entrance]context.CancelFunc{}
	for {
		active := h.active.Load()
		ended := maps.Clone(running)
		for _, s := range active.byName {
			delete(ended, s.entrance)
			if s.run == nil || running[s.entrance] != nil {
				continue
			}
			own, cancel := context.WithCancel(ctx)
			running[s.entrance] = cancel
			wg.Go(func() { s.run(own) })
		}
		for p, cancel := range ended {
			cancel()
			delete(running, p)
		}
		select {
		case <-active.replaced:
		case <-ctx.Done():
			return nil
		}
	}
}

// Keys says how each source's keys are, by source name.
func (h *Handler) Keys() []KeyStatus {
	var all []KeyStatus
	active := h.active.Load()
	for _, s := range active.list {
		k := active.byName[s.Name].verifier.status()
		k.Source, k.Scheme = s.Name, s.Scheme
		all = append(all, k)
	}
	return all
}
