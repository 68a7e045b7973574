package natslog

import "os"

// WithFlush returns c with another way to make files durable.
func (c Config) WithFlush(data, names func(*os.File) error) Config {
	c.flush = flush{data: data, names: names}
	return c
}

// SystemFlush is how files are made durable where nothing else is said.
func SystemFlush(storeDir string) (data, names func(*os.File) error, err error) {
	d, err := openDisk(storeDir, "", flush{})
	if err != nil {
		return nil, nil, err
	}
	return d.flush.data, d.flush.names, nil
}

// DropAcks makes the log deaf to the server's answers.
func (l *Log) DropAcks(drop bool) { l.committer.deaf.Store(drop) }

// DropPublishes makes every publish vanish on its way.
func (l *Log) DropPublishes(drop bool) { l.committer.mute.Store(drop) }

// Busy reports whether a publish is under way.
func (l *Log) Busy() bool {
	l.committer.mu.Lock()
	defer l.committer.mu.Unlock()
	return l.committer.flight != nil
}

// NewestBlock is the file that was synced last.
func (l *Log) NewestBlock() string {
	d := l.committer.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.path(d.index)
}

// FailSync makes every later sync fail.
func (l *Log) FailSync(err error) {
	d := l.committer.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// Escape and Unescape are the header codec.
var (
	Escape   = escape
	Unescape = unescape
)
