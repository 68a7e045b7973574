package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"rollcall/cmd/rollcall/internal/console"
)

// supervisor is the service manager that started this process, where it asks to
// be notified (sd_notify(3), systemd's Type=notify). The zero value is none.
type supervisor struct {
	socket   string        // a datagram socket; one that begins with @ is abstract
	watchdog time.Duration // without a sign of life for so long it ends the process; 0: it does not
}

// supervisorOf reads what the manager left in the environment.
func supervisorOf(env func(string) (string, bool)) (s supervisor, err error) {
	s.socket, _ = env("NOTIFY_SOCKET")
	text, _ := env("WATCHDOG_USEC")
	if s.socket == "" || text == "" {
		return s, nil
	}
	if pid, ok := env("WATCHDOG_PID"); ok && pid != strconv.Itoa(os.Getpid()) {
		return s, nil // meant for another process
	}
	usec, err := strconv.ParseInt(text, 10, 64)
	if err != nil || usec <= 0 || usec > int64(24*time.Hour/time.Microsecond) {
		return s, console.Usagef("WATCHDOG_USEC=%q: want microseconds above 0, a day at most; WatchdogSec= of the unit sets it", text)
	}
	s.watchdog = time.Duration(usec) * time.Microsecond
	return s, nil
}

// notify sends assignments such as READY=1 in one datagram.
func (s supervisor) notify(states ...string) error {
	if s.socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(strings.Join(states, "\n"))); err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	return nil
}

// reload runs fn, which reads settings again, between the two notifications that
// have the manager wait for its end.
func (s supervisor) reload(fn func() error) error {
	if err := s.notify("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", monotonic().Microseconds())); err != nil {
		return err
	}
	failed := fn()
	if err := s.notify("READY=1"); err != nil {
		return err
	}
	return failed
}

// notify notifies the manager. Nothing here depends on it, so a failure is only logged.
func (n *node) notify(states ...string) {
	if err := n.supervisor.notify(states...); err != nil {
		n.logger.Warn().Err(err).Msg("the service manager was not notified")
	}
}

// signsOfLife notifies the manager at twice the pace that it asks for, until ctx
// ends. A process that hangs sends nothing, and is ended.
func (n *node) signsOfLife(ctx context.Context) error {
	if n.supervisor.watchdog == 0 {
		return nil
	}
	tick := time.NewTicker(n.supervisor.watchdog / 2)
	defer tick.Stop()
	for {
		if err := n.alive(ctx); err == nil {
			n.notify("WATCHDOG=1")
		} else if ctx.Err() == nil {
			n.logger.Error().Err(err).Msg("no sign of life is sent to the service manager")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// alive returns once every check of health has come to an end, whatever it found:
// a disk that is full or a cluster that is away is not mended by a restart, a
// lock that nobody gives back is. An embedded server must answer, too.
func (n *node) alive(ctx context.Context) error {
	n.health.report(ctx)
	if n.ping == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, n.supervisor.watchdog/2)
	defer cancel()
	if err := n.ping(ctx); err != nil {
		return fmt.Errorf("ping embedded NATS server: %w", err)
	}
	return nil
}
