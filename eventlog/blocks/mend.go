package blocks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// MaxMarks bounds the marks of one Mend: more messages than that are no damage
// but another log.
const MaxMarks = 200_000

// ErrTooMuch says that more is lost than marks can stand for.
var ErrTooMuch = errors.New("too many messages are lost")

// Mend writes the damaged blocks of a stopped stream again: without what can't be
// read, and with a mark in the place of each message that is known to be lost.
// mark fills in subject, headers and body of the one at a sequence; it gets the
// time of the message before, which is the mark's as well. What stood
// there before is kept below keep. A Mend that is interrupted can be made again.
func Mend(s Stream, r *Report, keep string, mark func(sequence uint64, after time.Time) Message) error {
	if r.Lost() > MaxMarks {
		return fmt.Errorf("mend stream %s: %w: %d", s.Name, ErrTooMuch, r.Lost())
	}
	if err := Keep(s, r, keep); err != nil {
		return err
	}
	// An index that fits by chance would have the server trust what it knew.
	if len(r.Damage) > 0 {
		if err := os.Remove(s.indexPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("mend stream %s: %w", s.Name, err)
		}
	}
	for i := 0; i < len(r.Damage); {
		end := i + 1
		for end < len(r.Damage) && r.Damage[end].number == r.Damage[i].number {
			end++
		}
		if err := mendBlock(s, r.Damage[i:end], mark); err != nil {
			return fmt.Errorf("mend stream %s: %w", s.Name, err)
		}
		i = end
	}
	return nil
}

// mendBlock writes one block again.
func mendBlock(s Stream, damage []Damage, mark func(sequence uint64, after time.Time) Message) error {
	number := damage[0].number
	old, err := os.ReadFile(s.path(number))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	c := newCodec(s.Name, number)
	var out []byte
	at := int64(0)
	for _, d := range damage {
		out = append(out, old[at:d.Offset]...)
		for n := d.From; n != 0 && n <= d.To; n++ {
			stored := d.stored
			if stored.IsZero() {
				stored = time.Unix(1, 0) // before all that was stored
			}
			m := mark(n, stored)
			m.Sequence, m.Stored = n, stored
			out = c.append(out, &m)
		}
		at = d.Offset + d.Bytes
	}
	return replace(s.path(number), append(out, old[at:]...))
}

// Keep copies the damaged blocks, the index and the settings of a stream below
// dir, in a directory of the stream's name. Copies that are there already stay.
func Keep(s Stream, r *Report, dir string) error {
	dir = filepath.Join(dir, s.Name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("keep damaged files: %w", err)
	}
	paths := []string{s.indexPath(), filepath.Join(s.Dir, "meta.inf"), filepath.Join(s.Dir, "meta.sum")}
	for i := range r.Damage {
		paths = append(paths, s.path(r.Damage[i].number))
	}
	slices.Sort(paths)
	for _, path := range slices.Compact(paths) {
		to := filepath.Join(dir, filepath.Base(path))
		if _, err := os.Stat(to); err == nil {
			continue
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = replace(to, b)
		}
		if err != nil {
			return fmt.Errorf("keep damaged files: %w", err)
		}
	}
	return nil
}

// replace writes a file whole or not at all, and durably.
func replace(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".mend-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(0o640), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a directory's names durable, where the system can.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync() // not every system has that
	return d.Close()
}
