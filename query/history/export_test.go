package history

import "runtime"

// MaxWaits is maxWaits.
const MaxWaits = maxWaits

// WaitForScans returns once so many wait for one pass.
func (l *Reader) WaitForScans(n int) {
	l.until(func() bool {
		for _, p := range l.waiting {
			if len(p.scans) == n && p.active == n {
				return true
			}
		}
		return false
	})
}

// WaitForWaits returns once so many wait for a record.
func (l *Reader) WaitForWaits(n int) { l.until(func() bool { return l.tail.waiting == n }) }

func (l *Reader) until(done func() bool) {
	for {
		l.mu.Lock()
		ok := done()
		l.mu.Unlock()
		if ok {
			return
		}
		runtime.Gosched()
	}
}
