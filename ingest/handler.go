package ingest

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"rollcall/eventlog"
)

const (
	pathRoot       = "webhooks"
	unknownSource  = "unknown" // the metrics' label of requests to no source
	headerSequence = "Rollcall-Sequence"

	// busyRetry is the Retry-After while the log or the ingester is busy.
	busyRetry = time.Second
	// Refusals are logged, but a flood of them must not flood the log.
	refusalLogBurst  = 10
	refusalLogPeriod = 10 * time.Second
)

// Keys of log lines.
const (
	logSource   = "source"
	logReason   = "reason"
	logStatus   = "status"
	logSequence = "sequence"
	logEventID  = "event_id"
	logType     = "type"
	logBody     = "body_bytes"
	logElapsed  = "elapsed_ms"
)

// Handler answers POST /webhooks/{source}. It may serve any number of requests.
type Handler struct {
	config   Config
	active   atomic.Pointer[sources]
	verify   slots
	ids      *eventIDs
	metrics  *metrics
	nobody   sourceMetrics // of requests to no source
	inFlight slots
	bodies   budget
	limits   *limits
	refused  zerolog.Logger
	forged   *rate.Limiter // of prompt answers to bad signatures
}

// New makes a Handler. It reads key files, so that a bad one stops the start;
// keys from a URL are fetched by Run.
func New(c Config) (*Handler, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("configure ingest: %w", err)
	}
	c = c.withDefaults()
	m, err := newMetrics(c.Metrics)
	if err != nil {
		return nil, fmt.Errorf("configure ingest: register metrics: %w", err)
	}
	h := &Handler{
		config:   c,
		verify:   make(slots, c.MaxVerifications),
		ids:      newEventIDs(c.Entropy),
		metrics:  m,
		nobody:   m.source(unknownSource),
		inFlight: make(slots, c.MaxInFlight),
		limits:   newLimits(c.SameBody),
		forged:   rate.NewLimiter(promptRefusals, promptRefusals),
		refused:  c.Logger.Sample(&zerolog.BurstSampler{Burst: refusalLogBurst, Period: refusalLogPeriod}),
	}
	h.bodies.left.Store(c.MaxBodyMemory)
	next, err := h.open(c.Sources, nil)
	if err != nil {
		return nil, fmt.Errorf("configure ingest: %w", err)
	}
	h.active.Store(next)
	return h, nil
}

// Ready returns nil if there is a source whose deliveries can be verified, otherwise
// an error that names one without a key. One source's key endpoint must not block
// the deliveries of the others, so a source without a key is only named in note. It
// does not ask the log.
func (h *Handler) Ready() (note string, err error) {
	usable := false
	for _, k := range h.Keys() {
		if k.Scheme == SchemeNone || len(k.Fingerprints) > 0 {
			usable = true
			continue
		}
		err = fmt.Errorf("source %q has no key yet", k.Source)
		if k.Err != nil {
			err = fmt.Errorf("source %q has no key: %w", k.Source, k.Err)
		}
	}
	if usable && err != nil {
		return err.Error(), nil
	}
	return "", err
}

// ServeHTTP takes a delivery; see the package's documentation for the answers.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := h.config.Now()
	src, refused := h.source(r)
	if refused != nil {
		h.refuse(w, h.nobody, refused)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), h.config.Timeout)
	defer cancel()
	held := &share{of: &h.bodies}
	defer held.release()
	rec, id, refused := h.accept(ctx, w, r, src, started, held)
	var a eventlog.Appended
	if refused == nil {
		a, refused = h.store(ctx, src, rec)
	}
	if refused != nil {
		held.release()
		h.holdBack(r.Context(), refused)
		h.refuse(w, src.metrics, refused)
		return
	}
	h.limits.stored(rec, started)
	src.metrics.stored(id, a, len(rec.Body))
	h.config.Logger.Debug().Str(logSource, src.config.Name).Str(logType, id.Type.String()).Str(logEventID, a.EventID).
		Uint64(logSequence, uint64(a.Seq)).Int(logBody, len(rec.Body)).
		Int64(logElapsed, h.config.Now().Sub(started).Milliseconds()).Msg("delivery stored")
	writeStored(w, a)
}

// holdBack delays the answer to a bad signature when many come: a flood
// that waits for its answers slows down, and costs only its connections.
func (h *Handler) holdBack(ctx context.Context, r *refusal) {
	if !r.unverified || h.config.RefusalDelay < 0 || h.forged.Allow() {
		return
	}
	h.metrics.delayed.Inc()
	timer := time.NewTimer(h.config.RefusalDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done(): // the client left
	}
}

// accept reads and verifies a delivery, and makes the record of it.
func (h *Handler) accept(ctx context.Context, w http.ResponseWriter, r *http.Request, src *source, started time.Time, held *share) (*eventlog.Record, eventlog.Identity, *refusal) {
	var id eventlog.Identity
	body, refused := h.read(w, r, held)
	if refused != nil {
		return nil, id, refused
	}
	verifying := time.Now()
	p, refused := src.verifier.verify(ctx, &delivery{header: r.Header, body: body, arrival: started})
	h.metrics.verify.Observe(time.Since(verifying).Seconds())
	if refused != nil {
		return nil, id, refused
	}
	encoding := encodingOf(r.Header)
	id = eventlog.Identify(eventlog.Content(body, encoding))
	webhook := webhookID(r.Header)
	if refused := src.allowed(webhook, id.OrganizationIDs); refused != nil {
		return nil, id, refused
	}
	rec := &eventlog.Record{
		Source:         src.config.Name,
		DeliveryID:     p.id,
		WebhookID:      webhook,
		Signature:      p.signature,
		KeyFingerprint: p.fingerprint,
		Type:           id.Name,
		Subject:        id.Subject(),
		Encoding:       encoding,
		Body:           body,
	}
	if h.config.Traceparent != nil {
		rec.Trace = h.config.Traceparent(ctx)
	}
	if rec.DeliveryID == "" {
		rec.DeliveryID = deliveryID(r.Header)
	}
	if refused := h.throttle(src, rec, started); refused != nil {
		return nil, id, refused
	}
	// Taken as late as possible, so that it is close to the record's place in
	// the log, and still before anybody can know of the record.
	received := h.config.Now()
	eventID, err := h.ids.next(received)
	if err != nil {
		return nil, id, &refusal{status: http.StatusServiceUnavailable, reason: "no-event-id", detail: "no event id could be made", retryAfter: busyRetry}
	}
	rec.EventID, rec.ReceivedAt = eventID, eventlog.TimeOf(received)
	return rec, id, nil
}

// throttle holds a source to its rate, and a signed body to the number of times
// that it may come. A repeat, which the log does not store again, is free.
func (h *Handler) throttle(src *source, rec *eventlog.Record, now time.Time) *refusal {
	if h.limits.repeated(rec, now) {
		return nil
	}
	if !src.config.Unsigned() { // there a body proves nothing
		if refused := h.limits.body(rec, now); refused != nil {
			return refused
		}
	}
	return src.throttle()
}

// throttle takes a token of the source's rate.
func (s *source) throttle() *refusal {
	if s.limiter == nil {
		return nil
	}
	reservation := s.limiter.Reserve()
	delay := reservation.Delay()
	if reservation.OK() && delay == 0 {
		return nil
	}
	reservation.Cancel()
	return &refusal{
		status: http.StatusServiceUnavailable, reason: "rate-limited",
		detail: "the source sends more than it may", retryAfter: min(max(delay, time.Second), time.Minute),
	}
}

// store appends a record within the request's time.
func (h *Handler) store(ctx context.Context, src *source, rec *eventlog.Record) (eventlog.Appended, *refusal) {
	select {
	case h.inFlight <- struct{}{}:
		defer h.inFlight.release()
	default:
		return eventlog.Appended{}, &refusal{status: http.StatusServiceUnavailable, reason: "queue-full", detail: "too many deliveries wait for the log", retryAfter: busyRetry}
	}
	h.metrics.inFlight.Inc()
	defer h.metrics.inFlight.Dec()
	started := time.Now()
	a, err := h.config.Log.Append(ctx, rec)
	h.metrics.append.Observe(time.Since(started).Seconds())
	if err != nil {
		h.refused.Error().Err(err).Str(logSource, src.config.Name).Msg("delivery not stored")
		return eventlog.Appended{}, &refusal{status: http.StatusServiceUnavailable, reason: "log-unavailable", detail: "the log can't take the delivery now", retryAfter: busyRetry}
	}
	return a, nil
}
