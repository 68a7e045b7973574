package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"rollcall/eventlog"
)

// Appender is the log as the ingester needs it. Append blocks until the record
// is durable, may be called concurrently, and fails only with errors after
// which the outcome is unknown and the provider should try again.
type Appender interface {
	Append(ctx context.Context, r *eventlog.Record) (eventlog.Appended, error)
}

// Defaults of Config.
const (
	DefaultMaxBody     = 256 << 10
	DefaultTimeout     = 2500 * time.Millisecond
	DefaultMaxInFlight = 4096
	// DefaultMaxBodyMemory is Config.MaxBodyMemory's, DefaultSameBody SameBody's.
	DefaultMaxBodyMemory = 128 << 20
	DefaultSameBody      = 1000
	DefaultKeyInterval   = time.Hour
	DefaultKeyThrottle   = time.Minute
	DefaultKeyTimeout    = 5 * time.Second
	DefaultKeyOverlap    = time.Hour
	DefaultTolerance     = 5 * time.Minute
	// DefaultRefusalDelay is Config.RefusalDelay's.
	DefaultRefusalDelay = 500 * time.Millisecond
)

const (
	maxSources          = 1024
	verificationsPerCPU = 2
	// promptRefusals is how many deliveries a second may fail verification and
	// be answered at once.
	promptRefusals = 100

	sourceNameHelp = "use 1 to 32 of a-z, 0-9 and -"
	rsaHelp        = "rsa takes a PEM file, the provider's key document, or an https URL, like prod=rsa:public.pem"
	standardHelp   = "standard takes a file with whsec_ or whpk_ keys, like prod=standard:secrets.txt"
)

// Scheme is how a source's deliveries are verified.
type Scheme string

// The schemes.
const (
	SchemeRSA      Scheme = "rsa"
	SchemeStandard Scheme = "standard"
	SchemeNone     Scheme = "none"
)

// Source is one configured sender.
type Source struct {
	// Name stands in the path, in records and in metrics: [a-z0-9-]{1,32}.
	Name   string
	Scheme Scheme
	// Key is the key file or, with rsa, an https URL. With none it is empty.
	Key string
	// WebhookIDs, if any, are the values of dyte-webhook-id or rtk-webhook-id
	// that are accepted. OrganizationIDs, if any, must contain one of the
	// organization ids that a body names; a body that names none (a livestream)
	// is accepted, unless RequireOrganization is set. A valid signature proves the
	// provider, not the tenant, and does not cover the webhook id.
	WebhookIDs          []string
	OrganizationIDs     []string
	RequireOrganization bool
	// PathToken is a secret that the path must end in, /webhooks/NAME/TOKEN;
	// PathTokenFile has one a line, and is read again when it changes. At most one
	// of them is set.
	PathToken, PathTokenFile string
	// Rate bounds the verified deliveries a second, 0 is no limit; Burst is how
	// many may come at once, 0 is one second's worth.
	Rate  float64
	Burst int
	// Tolerance is how far the signed time of standard may be off; 0 is
	// DefaultTolerance.
	Tolerance time.Duration
}

// ParseSource reads NAME=SCHEME[:ARG], as the flag --source has it.
func ParseSource(s string) (Source, error) {
	name, rest, ok := strings.Cut(s, "=")
	if !ok {
		return Source{}, fmt.Errorf("source %q: write NAME=SCHEME[:ARG], like prod=rsa:public.pem", s)
	}
	scheme, key, _ := strings.Cut(rest, ":")
	src := Source{Name: name, Scheme: Scheme(scheme), Key: key}
	return src, src.Validate()
}

var sourceName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// Remote reports whether the key comes from a URL.
func (s Source) Remote() bool { return s.Scheme == SchemeRSA && strings.Contains(s.Key, "://") }

// Unsigned reports whether anybody who reaches the port can forge deliveries.
func (s Source) Unsigned() bool { return s.Scheme == SchemeNone }

// Validate returns an error in one line that says what to write instead. It does
// not look at the key.
func (s Source) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("source %q: "+format, append([]any{s.Name}, args...)...)
	}
	if !sourceName.MatchString(s.Name) {
		return fail("bad name: %s", sourceNameHelp)
	}
	switch s.Scheme {
	case SchemeRSA:
		if s.Key == "" {
			return fail("no key: %s", rsaHelp)
		}
		if s.Remote() {
			u, err := url.Parse(s.Key)
			if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
				return fail("the key URL must be https: %s", rsaHelp)
			}
		}
	case SchemeStandard:
		if s.Key == "" {
			return fail("no key: %s", standardHelp)
		}
	case SchemeNone:
		if s.Key != "" {
			return fail("none takes no key: write %s=none", s.Name)
		}
	default:
		return fail("unknown scheme %q: schemes are rsa, standard and none", s.Scheme)
	}
	switch {
	case s.RequireOrganization && len(s.OrganizationIDs) == 0:
		return fail("requireOrganization needs organizationIds: name the organizations")
	case s.PathToken != "" && s.PathTokenFile != "":
		return fail("pathToken and pathTokenFile: give one of them")
	case s.PathToken != "" && !pathTokenForm.MatchString(s.PathToken):
		return fail("bad pathToken: %s", pathTokenHelp)
	}
	if s.Rate < 0 || s.Burst < 0 || s.Tolerance < 0 {
		return fail("rate, burst and tolerance must not be negative")
	}
	return nil
}

// Config says what a Handler does. Log and Sources are needed; the zero value
// of the rest is the default.
type Config struct {
	Log     Appender
	Sources []Source

	// MaxBody is the size cap in bytes (DefaultMaxBody).
	MaxBody int64
	// MaxBodyMemory bounds, in bytes, what bodies under way hold over all
	// connections, the first 8 KiB of each left out (DefaultMaxBodyMemory).
	MaxBodyMemory int64
	// SameBody is how often one signed body is accepted under different delivery ids,
	// at once; after that once every ten seconds (DefaultSameBody). Negative: no limit.
	SameBody int
	// Timeout is how long a provider waits at most, body included (2.5 s: they
	// give up after 3).
	Timeout time.Duration
	// MaxInFlight bounds the requests between body and answer, which is the
	// queue in front of the log (DefaultMaxInFlight); above it the answer is 503.
	MaxInFlight int
	// MaxVerifications bounds the signatures checked at a time (two a CPU).
	MaxVerifications int

	// RefusalDelay is how long the answer to a delivery without a good signature
	// is delayed once more than a hundred a second arrive. It limits a sender of
	// forgeries that waits for each answer: over C connections it can send
	// C / RefusalDelay a second. Genuine deliveries are never delayed. 0 is DefaultRefusalDelay, negative is none.
	RefusalDelay time.Duration

	// KeyDir keeps fetched keys across restarts; "" keeps none.
	KeyDir string
	// KeyInterval is how often a key URL is fetched (an hour), KeyThrottle the
	// least time between two fetches because of a wrong signature (a minute),
	// KeyTimeout the bound on one (5 s), KeyOverlap how long a replaced key is
	// still accepted (an hour).
	KeyInterval, KeyThrottle, KeyTimeout, KeyOverlap time.Duration
	// KeyTransport fetches keys; nil is a transport of its own.
	KeyTransport http.RoundTripper

	// Traceparent is the traceparent of the span that a delivery's context holds, "" if
	// it is not sampled; its record keeps it. nil: none does.
	Traceparent func(ctx context.Context) string

	// Now is the clock of received times, nil is time.Now; Entropy makes event
	// ids, nil is crypto/rand.
	Now     func() time.Time
	Entropy io.Reader
	Logger  zerolog.Logger
	// Metrics registers the collectors; nil: none are exposed.
	Metrics prometheus.Registerer
}

func (c Config) validate() error {
	if c.Log == nil {
		return errors.New("no log")
	}
	if len(c.Sources) == 0 {
		return errors.New("no source: give --source NAME=SCHEME[:ARG], like prod=rsa:public.pem")
	}
	if err := c.validateSources(); err != nil {
		return err
	}
	if c.MaxBody < 0 || c.MaxBodyMemory < 0 || c.Timeout < 0 || c.MaxInFlight < 0 || c.MaxVerifications < 0 ||
		c.KeyInterval < 0 || c.KeyThrottle < 0 || c.KeyTimeout < 0 || c.KeyOverlap < 0 {
		return errors.New("limits must not be negative")
	}
	if c.MaxBodyMemory > 0 && c.MaxBodyMemory < max(c.MaxBody, DefaultMaxBody) {
		return errors.New("the memory for bodies must hold the largest one")
	}
	return nil
}

func (c Config) validateSources() error {
	if len(c.Sources) > maxSources {
		return fmt.Errorf("%d sources: at most %d", len(c.Sources), maxSources)
	}
	names := map[string]bool{}
	for _, s := range c.Sources {
		if err := s.Validate(); err != nil {
			return err
		}
		if names[s.Name] {
			return fmt.Errorf("source %q: given twice", s.Name)
		}
		names[s.Name] = true
	}
	return nil
}

func (c Config) withDefaults() Config {
	durations := []struct {
		v *time.Duration
		d time.Duration
	}{
		{&c.Timeout, DefaultTimeout}, {&c.KeyInterval, DefaultKeyInterval}, {&c.KeyThrottle, DefaultKeyThrottle},
		{&c.KeyTimeout, DefaultKeyTimeout}, {&c.KeyOverlap, DefaultKeyOverlap},
		{&c.RefusalDelay, DefaultRefusalDelay},
	}
	for _, d := range durations {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	if c.MaxBody == 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.MaxBodyMemory == 0 {
		c.MaxBodyMemory = max(DefaultMaxBodyMemory, 8*c.MaxBody)
	}
	if c.SameBody == 0 {
		c.SameBody = DefaultSameBody
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = DefaultMaxInFlight
	}
	if c.MaxVerifications == 0 {
		c.MaxVerifications = verificationsPerCPU * runtime.GOMAXPROCS(0)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}
