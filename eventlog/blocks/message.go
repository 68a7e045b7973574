package blocks

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"strconv"
	"time"

	"github.com/minio/highwayhash"
)

const (
	fixedSize    = 22       // length, sequence, time, subject length
	checksumSize = 8        //
	headersBit   = 1 << 31  // of the length: there are headers
	erasedBit    = 1 << 63  // of the sequence: the message was erased
	tombstoneBit = 1 << 62  // of the sequence: another message was deleted
	maxLength    = 32 << 20 // the server takes anything above for damage
)

// Message is one message of a block.
type Message struct {
	Sequence uint64
	Stored   time.Time
	Subject  string
	Headers  []byte // as they are sent: NATS/1.0, lines, an empty line; nil: none
	Body     []byte

	gone      bool // erased, or a tombstone: holds nothing
	tombstone bool
	length    int // in the file
}

// codec reads and writes the messages of one block.
type codec struct {
	hash hash.Hash64
	sum  [checksumSize]byte
}

func newCodec(stream string, block int) *codec {
	return &codec{hash: keyed(stream + "-" + strconv.Itoa(block))}
}

// keyed is the server's checksum under a name.
func keyed(name string) hash.Hash64 {
	key := sha256.Sum256([]byte(name))
	h, err := highwayhash.New64(key[:])
	if err != nil {
		panic(fmt.Sprintf("highwayhash refuses a key of 32 bytes: %v", err))
	}
	return h
}

// read returns the message that b begins with, not copied; false where it is
// damaged.
func (c *codec) read(b []byte) (m Message, ok bool) {
	if len(b) < fixedSize+checksumSize {
		return m, false
	}
	length := binary.LittleEndian.Uint32(b)
	hasHeaders := length&headersBit != 0
	length &^= headersBit
	subject := int(binary.LittleEndian.Uint16(b[20:]))
	least := fixedSize + subject + checksumSize
	if hasHeaders {
		least += 4
	}
	if length > maxLength || int(length) > len(b) || int(length) < least {
		return m, false
	}
	sequence := binary.LittleEndian.Uint64(b[4:])
	m = Message{
		Sequence: sequence &^ (erasedBit | tombstoneBit),
		Stored:   time.Unix(0, int64(binary.LittleEndian.Uint64(b[12:]))).UTC(), // #nosec G115 -- as the server does
		Subject:  string(b[fixedSize : fixedSize+subject]),
		gone:     sequence&(erasedBit|tombstoneBit) != 0, length: int(length),
	}
	rest := b[fixedSize+subject : int(length)-checksumSize]
	c.hash.Reset()
	c.hash.Write(b[4:20])
	c.hash.Write(b[fixedSize : fixedSize+subject])
	m.Body = rest
	if hasHeaders {
		size := binary.LittleEndian.Uint32(rest)
		rest = rest[4:]
		if !headersEnd(rest, int(size)) {
			return m, false
		}
		m.Headers, m.Body = rest[:size], rest[size:]
	}
	c.hash.Write(rest)
	return m, bytes.Equal(c.hash.Sum(c.sum[:0]), b[int(length)-checksumSize:length])
}

// headersEnd reports whether headers of that size stand at the beginning of b.
// Their length has no checksum.
func headersEnd(b []byte, size int) bool {
	end := []byte("\r\n\r\n")
	return size >= len(end) && size <= len(b) && bytes.Index(b[:size], end) == size-len(end)
}

// append adds the message to b as the server writes it.
func (c *codec) append(b []byte, m *Message) []byte {
	length := uint32(fixedSize + len(m.Subject) + len(m.Body) + checksumSize) // #nosec G115 -- marks are small
	if m.Headers != nil {
		length += uint32(4+len(m.Headers)) | headersBit // #nosec G115 -- likewise
	}
	at := len(b)
	b = binary.LittleEndian.AppendUint32(b, length)
	b = binary.LittleEndian.AppendUint64(b, m.Sequence)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.Stored.UnixNano())) // #nosec G115 -- as the server does
	b = binary.LittleEndian.AppendUint16(b, uint16(len(m.Subject)))      // #nosec G115 -- a subject of ours
	b = append(b, m.Subject...)
	if m.Headers != nil {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Headers))) // #nosec G115 -- small
		b = append(b, m.Headers...)
	}
	b = append(b, m.Body...)
	c.hash.Reset()
	c.hash.Write(b[at+4 : at+20])
	c.hash.Write([]byte(m.Subject))
	c.hash.Write(m.Headers)
	c.hash.Write(m.Body)
	return c.hash.Sum(b)
}
