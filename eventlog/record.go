package eventlog

import (
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// Seq is a position in the log: a JetStream stream sequence, from 1. Zero is
// before the first record.
type Seq uint64

// Record is what the log keeps of one delivery. Body is the raw body, byte for
// byte; the rest is what the ingester knows about the delivery.
type Record struct {
	// Seq and StoredAt are the log's: where it stands and when the server
	// stored it. Views depend on neither.
	Seq      Seq
	StoredAt time.Time

	// EventID is a ULID given at ingest.
	EventID string
	// ReceivedAt is when the ingester took the delivery.
	ReceivedAt Time
	// Source is the name of the configured source, [a-z0-9-]{1,32}.
	Source string
	// DeliveryID is the provider's delivery uuid; "" where none was sent.
	DeliveryID string
	// WebhookID is the provider's id of the subscription; "" where none was sent.
	WebhookID string
	// Signature is the signature header as received, and KeyFingerprint names
	// the key that it was verified with, so that the log can be verified again.
	Signature      string
	KeyFingerprint string
	// Type is [Identity.Name]: the event type as sent, or other.unknown or
	// other.unreadable.
	Type string
	// Subject is where the log stores the record: [Identity.Subject] of its content.
	// An ingester, which has identified it, sets it for Append; the log works out one
	// that is "". Records that are read have none.
	Subject string
	// Encoding is the delivery's Content-Encoding, "" where none was sent.
	Encoding string
	// Trace is the traceparent of the span of its delivery where that span was
	// sampled, else "". No view depends on it, and exports leave it out.
	Trace string
	// Body is the raw body, as it was sent and signed; Content is what it says.
	Body []byte
}

// Appended is the log's answer to an append.
type Appended struct {
	// Seq and EventID are those of the record in the log: the first one's where
	// the append was a repeat.
	Seq     Seq
	EventID string
	// Duplicate is set where the record is a repeat of one within the log's
	// duplicate window, and was not stored again.
	Duplicate bool
}

// Head says where a log begins and ends, and which log it is.
type Head struct {
	// Incarnation is a UUID that the stream got when it was created. It survives
	// restarts, backup and restore, but not a re-creation.
	Incarnation string
	// First is the first sequence held, Last the last one ever given. An empty
	// log has First = Last + 1.
	First, Last Seq
}

// ReadOptions say what to read of a log.
type ReadOptions struct {
	// After excludes: the first record read is the one after it.
	After Seq
	// AfterStoredAt is when the log stored that record, where the caller has read
	// it before: a log that lost its tail may have given its sequence to another
	// one, which is ErrLostTail. Zero: not known.
	AfterStoredAt time.Time
	// Oldest begins with the oldest record that the log holds, if those after After
	// are gone by the time that the first one comes. Without it that is ErrTrimmed.
	Oldest bool
	// UpTo includes; 0 means the last record at the time of the call, or no end
	// where Follow is set.
	UpTo Seq
	// Follow goes on with records that are appended later.
	Follow bool
	// Slices limits the read to some slices; nil means all.
	Slices []int
	// Damaged, where set, is called for records that can't be read, those from one
	// sequence to another, both included, and the read goes on. Without it the read
	// ends with ErrDamaged. With Slices such records are not noticed.
	Damaged func(from, to Seq)
}

// RepeatSum is the SHA-256 over what makes two records repeats of each other:
// source, delivery uuid and body. The log uses it as message id.
func RepeatSum(source, deliveryID string, body []byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write([]byte(source))
	h.Write([]byte{0})
	h.Write([]byte(deliveryID))
	h.Write([]byte{0})
	h.Write(body)
	h.Sum(sum[:0])
	return sum
}

// RepeatKey is the start of a [RepeatSum]: 96 bits, enough that among a billion
// deliveries two share a key with a chance of about one in 10^11. The zero key
// means that the delivery had no uuid and repeats nothing.
type RepeatKey [12]byte

// IsZero reports whether the delivery had no uuid.
func (k RepeatKey) IsZero() bool { return k == RepeatKey{} }

// String is the key in URL-safe base64, 16 characters.
func (k RepeatKey) String() string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// RepeatKey returns the record's key.
func (r *Record) RepeatKey() (k RepeatKey) {
	if r.DeliveryID == "" {
		return k
	}
	sum := RepeatSum(r.Source, r.DeliveryID, r.Body)
	copy(k[:], sum[:])
	return k
}

// Order is what "first" is decided by: the earlier received time and, where
// those are equal, the smaller event id. It never depends on the sequence.
type Order struct {
	At Time
	ID string
}

// Order returns the record's place among others.
func (r *Record) Order() Order { return Order{At: r.ReceivedAt, ID: r.EventID} }

// Less reports whether o comes before p.
func (o Order) Less(p Order) bool {
	if o.At != p.At {
		return o.At < p.At
	}
	return o.ID < p.ID
}
