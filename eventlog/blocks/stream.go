package blocks

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Stream is a stream's directory.
type Stream struct {
	Name string
	Dir  string
}

// Streams are the streams below a server's store directory, by name.
func Streams(storeDir string) ([]Stream, error) {
	base := filepath.Clean(storeDir)
	if filepath.Base(base) != "jetstream" { // as the server does
		base = filepath.Join(base, "jetstream")
	}
	accounts, err := entries(base)
	if err != nil {
		return nil, err
	}
	var found []Stream
	for _, account := range accounts {
		dir := filepath.Join(base, account.Name(), "streams")
		streams, err := entries(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range streams {
			// What begins with a dot is a stream that the server was deleting.
			if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				found = append(found, Stream{e.Name(), filepath.Join(dir, e.Name())})
			}
		}
	}
	slices.SortFunc(found, func(a, b Stream) int { return cmp.Compare(a.Name, b.Name) })
	return found, nil
}

// entries lists a directory; one that is not there has none.
func entries(dir string) ([]os.DirEntry, error) {
	found, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	return found, nil
}

func (s Stream) path(number int) string {
	return filepath.Join(s.Dir, "msgs", strconv.Itoa(number)+".blk")
}

func (s Stream) indexPath() string { return filepath.Join(s.Dir, "msgs", "index.db") }

// blocks returns the numbers of the blocks in order.
func (s Stream) blocks() ([]int, error) {
	found, err := entries(filepath.Join(s.Dir, "msgs"))
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, e := range found {
		text, isBlock := strings.CutSuffix(e.Name(), ".blk")
		if n, err := strconv.Atoi(text); isBlock && err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// Trusted reports whether the server will use the stream's index as it is, and
// read no block: it was stopped properly, and no block was added, removed or cut
// since. Damage within a block does not show.
func (s Stream) Trusted() (bool, error) {
	numbers, err := s.blocks()
	if err != nil {
		return false, err
	}
	x := readIndex(s)
	if !x.fits(s, numbers) {
		return false, nil
	}
	for i, n := range numbers {
		if i > 0 && n != numbers[i-1]+1 {
			return false, nil
		}
	}
	return s.begins(numbers[0]) <= max(x.first, 1), nil
}

// begins is the sequence that a block's first message has; it is one too many
// for any where that can't be read.
func (s Stream) begins(number int) uint64 {
	f, err := os.Open(s.path(number))
	if err != nil {
		return ^uint64(0)
	}
	defer f.Close()
	b := make([]byte, fixedSize)
	if _, err := f.Read(b); err != nil {
		return 0 // an empty block
	}
	return binary.LittleEndian.Uint64(b[4:]) &^ (erasedBit | tombstoneBit)
}

// Size is how many bytes the stream's blocks have.
func (s Stream) Size() (n int64, err error) {
	numbers, err := s.blocks()
	for _, number := range numbers {
		if info, err := os.Stat(s.path(number)); err == nil { // a limit may have removed it
			n += info.Size()
		}
	}
	return n, err
}

// Settings are the files that hold the stream's settings.
func (s Stream) Settings() []string {
	return []string{filepath.Join(s.Dir, "meta.inf"), filepath.Join(s.Dir, "meta.sum")}
}

// SettingsFit reports whether the stream's settings are what they were when they
// were written. Where they are not the server ignores the stream.
func (s Stream) SettingsFit() bool {
	settings, err1 := os.ReadFile(filepath.Join(s.Dir, "meta.inf"))
	sum, err2 := os.ReadFile(filepath.Join(s.Dir, "meta.sum"))
	if err1 != nil || err2 != nil {
		return false
	}
	h := keyed(s.Name)
	h.Write(settings)
	return hex.EncodeToString(h.Sum(nil)) == string(sum)
}

// begin returns the sequence before the stream's first message, if it is known.
// A limit may have removed messages since an index was written that does not fit.
func (s Stream) begin(x index, numbers []int) (last uint64, known bool) {
	switch limited := s.limited(); {
	case x.first > 0 && (!limited || len(numbers) == 0 || x.fits(s, numbers)):
		return x.first - 1, true
	case x == (index{}) && !limited:
		return 0, true
	}
	return 0, false
}

// limited reports whether the server removes old messages from the stream by
// itself, as far as its settings can be read.
func (s Stream) limited() bool {
	b, err := os.ReadFile(filepath.Join(s.Dir, "meta.inf"))
	c := struct {
		Age      int64 `json:"max_age"`
		Bytes    int64 `json:"max_bytes"`
		Messages int64 `json:"max_msgs"`
	}{}
	if err != nil || json.Unmarshal(b, &c) != nil {
		return true
	}
	return c.Age > 0 || c.Bytes > 0 || c.Messages > 0
}

// index is what the server wrote of a stream when it was stopped, and every two
// minutes before. The zero index is one that can't be read.
type index struct {
	first, last uint64
	checksum    [checksumSize]byte // of the last message in the last block
}

// readIndex reads the server's index.
func readIndex(s Stream) (x index) {
	b, err := os.ReadFile(s.indexPath())
	if err != nil || len(b) < 32 {
		return index{}
	}
	body, sum := b[:len(b)-checksumSize], b[len(b)-checksumSize:]
	h := keyed(s.Name)
	h.Write(body)
	if !bytes.Equal(h.Sum(nil), sum) {
		return index{}
	}
	copy(x.checksum[:], body[len(body)-checksumSize:])
	rest := body[2:] // magic, version
	number := func() (v uint64) {
		v, n := binary.Uvarint(rest)
		rest = rest[max(n, 0):]
		return v
	}
	_, _ = number(), number() // messages, bytes
	x.first = number()
	_ = number() // its time
	x.last = number()
	return x
}

// fits reports whether the last block ends as it did when the index was written.
func (x index) fits(s Stream, numbers []int) bool {
	if x == (index{}) || len(numbers) == 0 {
		return false
	}
	f, err := os.Open(s.path(numbers[len(numbers)-1]))
	if err != nil {
		return false
	}
	defer f.Close()
	var end [checksumSize]byte
	if info, err := f.Stat(); err != nil {
		return false
	} else if size := info.Size(); size >= checksumSize {
		if _, err := f.ReadAt(end[:], size-checksumSize); err != nil {
			return false
		}
	}
	return end == x.checksum
}
