package backup

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/klauspost/compress/zstd"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
)

// Checked is an export that was read to its end.
type Checked struct {
	File   string
	Sealed bool // false: whether it is whole can't be said
	Seal        // what was read
}

// Check reads exports that continue each other, and returns what each holds.
// It is an error where one is cut or changed, or does not continue the one
// before.
func Check(ctx context.Context, paths ...string) (all []Checked, err error) {
	for _, err := range read(paths, func(c Checked) { all = append(all, c) }) {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return all, err
		}
	}
	return all, nil
}

// Records are the records of exports that continue each other, checked while
// they are read: an error may come last, as of a file that was changed since Check.
func Records(paths ...string) iter.Seq2[eventlog.Record, error] {
	return read(paths, func(Checked) {})
}

func read(paths []string, done func(Checked)) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		var before *Seal
		for _, path := range paths {
			c, more, err := readOne(path, before, yield)
			if err != nil {
				yield(eventlog.Record{}, err)
				return
			}
			if !more {
				return
			}
			done(c)
			before = &c.Seal
		}
	}
}

// readOne yields the records of one export; more is false where the caller stopped.
func readOne(path string, before *Seal, yield func(eventlog.Record, error) bool) (c Checked, more bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return c, false, console.Usagef("read export: %w", err)
	}
	defer f.Close()
	seal, err := readSeal(path)
	if err != nil {
		return c, false, fmt.Errorf("read export: %w", err)
	}
	if before != nil {
		err = seal.follows(before)
	} else if seal != nil && seal.After > 0 {
		err = fmt.Errorf("it continues another export, which ends with record %d; name that one first", seal.After)
	}
	if err != nil {
		return c, false, fmt.Errorf("read export: %s is %w: %w", path, errRefused, err)
	}
	if seal != nil {
		c.Incarnation, c.After, c.AfterID, c.Damaged = seal.Incarnation, seal.After, seal.AfterID, seal.Damaged
	}
	c.File, c.Sealed, c.Export = path, seal != nil, sealFormat
	if more, err = c.read(f, yield); err != nil {
		return c, false, fmt.Errorf("read export: record %d of %s: %w", c.Records+1, path, err)
	}
	if more && seal != nil {
		if err := seal.differs(&c.Seal); err != nil {
			return c, false, fmt.Errorf("read export: %s is %w: %w", path, errRefused, err)
		}
	}
	return c, more, nil
}

// read yields the records and counts them.
func (c *Checked) read(f io.Reader, yield func(eventlog.Record, error) bool) (more bool, err error) {
	if compressed(c.File) {
		unzip, err := zstd.NewReader(f)
		if err != nil {
			return false, err
		}
		defer unzip.Close()
		f = unzip
	}
	sum := sha256.New()
	for r, err := range natslog.ReadNDJSON(io.TeeReader(bufio.NewReaderSize(f, 64<<10), sum)) {
		if err != nil {
			return false, err
		}
		c.add(&r)
		if !yield(r, nil) {
			return false, nil
		}
	}
	if c.end(sum); compressed(c.File) && !c.Sealed && c.Records == 0 {
		return false, fmt.Errorf("%w: it is empty", errRefused)
	}
	return true, nil
}

// Position is where the export at path ends, for one that continues it. The
// export is read only where it has no seal.
func Position(path string) (Seal, error) {
	if _, err := os.Stat(path); err != nil {
		return Seal{}, console.Usagef("read --after: %w; want the sequence of a record, or an export", err)
	}
	seal, err := readSeal(path)
	if err != nil {
		return Seal{}, err
	}
	if seal != nil {
		return *seal, nil
	}
	c, _, err := readOne(path, nil, func(eventlog.Record, error) bool { return true })
	return c.Seal, err
}
