package eventlog

import "errors"

// Sentinels that callers branch on. They are wrapped with what to do next.
var (
	// ErrUnavailable: the log can't take or give records now. Whether an append
	// happened is unknown; trying again later is right.
	ErrUnavailable = errors.New("log unavailable")
	// ErrNoLog: the stream does not exist yet.
	ErrNoLog = errors.New("log does not exist")
	// ErrNotFound: no record at that sequence.
	ErrNotFound = errors.New("record not found")
	// ErrNotEmpty: an import needs an empty log.
	ErrNotEmpty = errors.New("log is not empty")
	// ErrTrimmed: records that the reader still needs were removed.
	ErrTrimmed = errors.New("log no longer holds the next record")
	// ErrDamaged: a record within the log can't be read any more.
	ErrDamaged = errors.New("log is damaged")
	// ErrIncarnation: the stream was created again since the reader's last record.
	ErrIncarnation = errors.New("log is another incarnation")
	// ErrLostTail: the log ends before, or holds another record at, the
	// reader's last sequence. Sequences were reused for other records.
	ErrLostTail = errors.New("log lost records that were already read")
)
