package backup

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"rollcall/cmd/rollcall/internal/natsd"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
)

// Stream writes records as an export, and keeps count for its seal.
type Stream struct {
	Seal Seal // what was written; the caller sets Incarnation, After and AfterID before
	out  *bufio.Writer
	sum  hash.Hash
	line []byte
}

// NewStream returns a Stream on w.
func NewStream(w io.Writer) *Stream {
	s := &Stream{Seal: Seal{Export: sealFormat}, sum: sha256.New()}
	s.out = bufio.NewWriterSize(io.MultiWriter(w, s.sum), 1<<20)
	return s
}

// Add writes a record.
func (s *Stream) Add(r *eventlog.Record) (err error) {
	if s.line, err = natslog.AppendNDJSON(s.line[:0], r); err != nil {
		return fmt.Errorf("encode record %d: %w", r.Seq, err)
	}
	if _, err := s.out.Write(s.line); err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	s.Seal.add(r)
	return nil
}

// add counts a record.
func (s *Seal) add(r *eventlog.Record) {
	if s.Records++; s.First == 0 {
		s.First = r.Seq
	}
	s.Last, s.LastID = r.Seq, r.EventID
}

// Close writes what is not written yet, and completes the seal.
func (s *Stream) Close() error {
	if err := s.out.Flush(); err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	s.Seal.end(s.sum)
	return nil
}

// end completes the seal.
func (s *Seal) end(sum hash.Hash) {
	s.SHA256 = hex.EncodeToString(sum.Sum(nil))
	if s.Records == 0 {
		s.Last, s.LastID = s.After, s.AfterID
	}
}

// partial is added to the name of an export that is not whole.
const partial = ".partial"

// File is an export that is being written beside its name: a file with that
// name is whole. What a killed export leaves has a name that says so, and the
// next one writes over it.
type File struct {
	*Stream
	path string
	file *os.File
	zip  *zstd.Encoder // nil: no compression
}

// Create begins an export to path. Call Commit or Abort.
func Create(path string, force bool) (*File, error) {
	if _, err := os.Stat(path); err == nil && !force {
		return nil, fmt.Errorf("%s exists; --force writes over it", path)
	}
	f, err := os.OpenFile(path+partial, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write export: %w", err)
	}
	if err := errors.Join(natsd.LockFile(f), stillNamed(f)); err != nil {
		return nil, errors.Join(fmt.Errorf("write export: another export writes %s now, or did: %w; call it again when that has ended", f.Name(), err), f.Close())
	}
	e := &File{path: path, file: f}
	if err := e.begin(); err != nil {
		return nil, fmt.Errorf("write export: %w", errors.Join(err, e.Abort()))
	}
	return e, nil
}

func (e *File) begin() (err error) {
	if err := errors.Join(e.file.Chmod(0o600), e.file.Truncate(0)); err != nil {
		return err
	}
	if !compressed(e.path) {
		e.Stream = NewStream(e.file)
		return nil
	}
	if e.zip, err = zstd.NewWriter(e.file); err == nil {
		e.Stream = NewStream(e.zip)
	}
	return err
}

// Abort removes what was written.
func (e *File) Abort() error { return errors.Join(os.Remove(e.file.Name()), e.file.Close()) }

// Commit seals the export and gives it its name. After an error nothing is left.
func (e *File) Commit() error {
	if err := e.commit(); err != nil {
		return errors.Join(err, e.Abort())
	}
	return e.file.Close() // with the lock
}

// commit leaves, if it is killed on the way, a whole export without a seal at
// worst, never one beside the seal of another.
func (e *File) commit() error {
	if err := e.Close(); err != nil {
		return err
	}
	if e.zip != nil {
		frame, err := e.Seal.frame()
		if err = errors.Join(err, e.zip.Close()); err != nil {
			return fmt.Errorf("write export: %w", err)
		}
		if _, err := e.file.Write(frame); err != nil {
			return fmt.Errorf("write export: %w", err)
		}
	}
	if err := e.file.Sync(); err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	if err := os.Remove(sumFile(e.path)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("write export: %w", err)
	}
	if err := os.Rename(e.file.Name(), e.path); err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	if e.zip != nil {
		return nil
	}
	return e.Seal.save(sumFile(e.path))
}

// stillNamed refuses a file that another export has finished and renamed since it
// was opened.
func stillNamed(f *os.File) error {
	opened, err1 := f.Stat()
	named, err2 := os.Stat(f.Name())
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if !os.SameFile(opened, named) {
		return errors.New("it was renamed")
	}
	return nil
}
