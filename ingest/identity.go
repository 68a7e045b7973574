package ingest

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// maxLiteralID is the longest header id that is kept as it is.
const maxLiteralID = 256

// literalID reports whether an id from a header is kept as it is: 1 to 256
// printable ASCII characters.
func literalID(s string) bool {
	if s == "" || len(s) > maxLiteralID {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// cleanID returns an id from a header as it is stored: literally, or as h_ and
// its SHA-256.
func cleanID(s string) string {
	if s == "" || literalID(s) {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return "h_" + hex.EncodeToString(sum[:])
}

func firstHeader(h http.Header, names ...string) string {
	for _, name := range names {
		if v := h.Get(name); v != "" {
			return v
		}
	}
	return ""
}

// deliveryID is the provider's id of the delivery, which makes repeats known.
func deliveryID(h http.Header) string {
	return cleanID(firstHeader(h, "Dyte-Uuid", "Rtk-Uuid", "Webhook-Id"))
}

// webhookID is the provider's id of the subscription.
func webhookID(h http.Header) string {
	return cleanID(firstHeader(h, "Dyte-Webhook-Id", "Rtk-Webhook-Id"))
}

// allowed checks the tenant behind a verified delivery.
func (s *source) allowed(webhook string, organizations []string) *refusal {
	refused := &refusal{
		status: http.StatusUnauthorized, reason: "not-allowed",
		detail: "the delivery is properly signed, but its webhook or organization is not one of this source's",
	}
	if len(s.config.WebhookIDs) > 0 && !slices.Contains(s.config.WebhookIDs, webhook) {
		return refused
	}
	if s.config.RequireOrganization && len(organizations) == 0 {
		return refused
	}
	if len(s.config.OrganizationIDs) > 0 && len(organizations) > 0 &&
		!slices.ContainsFunc(organizations, func(id string) bool { return slices.Contains(s.config.OrganizationIDs, id) }) {
		return refused
	}
	return nil
}

// eventIDs makes ULIDs: rising within a millisecond, whatever the concurrency.
type eventIDs struct {
	mu      sync.Mutex
	entropy *ulid.MonotonicEntropy
}

func newEventIDs(entropy io.Reader) *eventIDs {
	if entropy == nil {
		entropy = bufio.NewReader(rand.Reader)
	}
	return &eventIDs{entropy: ulid.Monotonic(entropy, 0)}
}

func (e *eventIDs) next(at time.Time) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id, err := ulid.New(ulid.Timestamp(at), e.entropy)
	if err != nil {
		return "", fmt.Errorf("make event id: %w", err)
	}
	return id.String(), nil
}
