package natslog

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

// Escape and Unescape are the header codec.
var (
	Escape   = escape
	Unescape = unescape
)
