package backup

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-json-experiment/json"

	"rollcall/eventlog"
)

// Seal says what an export holds, so that a cut or changed one is seen.
type Seal struct {
	Export      int          `json:"export"`           // sealFormat
	Incarnation string       `json:"incarnation"`      // of the log
	After       eventlog.Seq `json:"after"`            // the export begins after this record; 0: with the first one held
	AfterID     string       `json:"afterId,omitzero"` // event id of that record
	First       eventlog.Seq `json:"first"`            // 0: no record
	Last        eventlog.Seq `json:"last"`             // where the next export begins; After where there is no record
	LastID      string       `json:"lastId,omitzero"`  // event id of that record
	Records     int          `json:"records"`          // lines
	Damaged     uint64       `json:"damaged,omitzero"` // records left out, since they can't be read
	SHA256      string       `json:"sha256"`           // of the NDJSON, in hex
}

// sealFormat is the form of seals that this version writes and reads.
const sealFormat = 1

// errRefused means that a file is cut, changed, or not the one that comes next. Nothing was written.
var errRefused = errors.New("refused")

// sumFile is where the seal of an export without compression stands.
func sumFile(path string) string { return path + ".sum" }

// compressed reports whether a file is compressed, by its ending.
func compressed(path string) bool { return strings.HasSuffix(path, ".zst") }

// The frame that holds the seal in a compressed export: one that decompressors
// skip (RFC 8878, 3.1.2), of fixed size so that it is found from the end.
const (
	frameMagic = 0x184D2A5B
	frameBytes = 1024
	frameHead  = 8
)

// frame encodes s, padded with spaces.
func (s *Seal) frame() ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode seal: %w", err)
	}
	if len(text) > frameBytes-frameHead {
		return nil, fmt.Errorf("encode seal: %d bytes; its frame holds %d", len(text), frameBytes-frameHead)
	}
	b := bytes.Repeat([]byte{' '}, frameBytes)
	binary.LittleEndian.PutUint32(b, frameMagic)
	binary.LittleEndian.PutUint32(b[4:], frameBytes-frameHead)
	copy(b[frameHead:], text)
	return b, nil
}

// save writes s to a file of its own.
func (s *Seal) save(path string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode seal: %w", err)
	}
	if err := os.WriteFile(path+partial, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write seal: %w", err)
	}
	if err := os.Rename(path+partial, path); err != nil {
		return fmt.Errorf("write seal: %w", err)
	}
	return nil
}

// readSeal reads what a file says of itself; nil where it has no seal.
func readSeal(path string) (*Seal, error) {
	var text []byte
	var err error
	if compressed(path) {
		text, err = lastFrame(path)
	} else if text, err = os.ReadFile(sumFile(path)); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil || text == nil {
		return nil, err
	}
	s := &Seal{}
	if err := json.Unmarshal(text, s, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%w: the seal of %s can't be read: %w", errRefused, path, err)
	}
	if s.Export != sealFormat {
		return nil, fmt.Errorf("%w: the seal of %s has form %d, this program reads %d; use the version that wrote it", errRefused, path, s.Export, sealFormat)
	}
	return s, nil
}

// lastFrame is what the seal's frame holds; nil where a file does not end with one.
func lastFrame(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < frameBytes {
		return nil, err
	}
	b := make([]byte, frameBytes)
	if _, err := f.ReadAt(b, info.Size()-frameBytes); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if binary.LittleEndian.Uint32(b) != frameMagic || binary.LittleEndian.Uint32(b[4:]) != frameBytes-frameHead {
		return nil, nil
	}
	return b[frameHead:], nil
}

// follows says why the export with seal s does not come next after the one with seal before.
func (s *Seal) follows(before *Seal) error {
	switch {
	case s == nil:
		return errors.New("it has no seal, so that it can't be a continuation")
	case before.Incarnation != "" && s.Incarnation != before.Incarnation:
		return fmt.Errorf("it is of another log (%s, not %s)", s.Incarnation, before.Incarnation)
	case s.After != before.Last:
		return fmt.Errorf("it begins after record %d, and the one before ends with %d; name the exports in their order, without a gap", s.After, before.Last)
	case s.AfterID != before.LastID:
		return fmt.Errorf("it was made of a log whose record %d is another one", s.After)
	}
	return nil
}

// differs says how what was read differs from what the seal says.
func (s *Seal) differs(read *Seal) error {
	switch {
	case s.Records != read.Records:
		return fmt.Errorf("it has %d records, and its seal says %d: it was cut or changed", read.Records, s.Records)
	case s.SHA256 != read.SHA256:
		return errors.New("its checksum is not that of its seal: it was changed or reordered")
	case s.First != read.First || s.Last != read.Last || s.LastID != read.LastID:
		return fmt.Errorf("it holds records %d to %d, and its seal says %d to %d", read.First, read.Last, s.First, s.Last)
	}
	return nil
}
