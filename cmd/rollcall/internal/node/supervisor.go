package node

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

// Supervisor is the service manager that started this process, where it asks to
// be notified (sd_notify(3), systemd's Type=notify). The zero value is none.
type Supervisor struct {
	Socket   string        // a datagram socket; one that begins with @ is abstract
	Watchdog time.Duration // how long without a sign of life before it ends the process; 0: it does not
}

// SupervisorOf reads what the manager left in the environment.
func SupervisorOf(env func(string) (string, bool)) (s Supervisor, err error) {
	s.Socket, _ = env("NOTIFY_SOCKET")
	text, _ := env("WATCHDOG_USEC")
	if s.Socket == "" || text == "" {
		return s, nil
	}
	if pid, ok := env("WATCHDOG_PID"); ok && pid != strconv.Itoa(os.Getpid()) {
		return s, nil // meant for another process
	}
	usec, err := strconv.ParseInt(text, 10, 64)
	if err != nil || usec <= 0 || usec > int64(24*time.Hour/time.Microsecond) {
		return s, console.Usagef("WATCHDOG_USEC=%q: want microseconds above 0, a day at most; WatchdogSec= of the unit sets it", text)
	}
	s.Watchdog = time.Duration(usec) * time.Microsecond
	return s, nil
}

// notify sends assignments such as READY=1 in one datagram.
func (s Supervisor) notify(states ...string) error {
	if s.Socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.Socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(strings.Join(states, "\n"))); err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	return nil
}

// notify notifies the manager. Nothing here depends on it, so a failure is only logged.
func (n *Node) notify(states ...string) {
	if err := n.Supervisor.notify(states...); err != nil {
		n.Logger.Warn().Err(err).Msg("the service manager was not notified")
	}
}

// Reloading runs fn, which reads settings again, between the two notifications that
// have the manager wait for its end.
func (n *Node) Reloading(fn func() error) error {
	n.notify("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", Monotonic().Microseconds()))
	defer n.notify("READY=1")
	return fn()
}

// signsOfLife notifies the manager at twice the pace that it asks for, until ctx
// ends. A process that hangs sends nothing, and is ended.
func (n *Node) signsOfLife(ctx context.Context) error {
	if n.Supervisor.Watchdog == 0 {
		return nil
	}
	tick := time.NewTicker(n.Supervisor.Watchdog / 2)
	defer tick.Stop()
	for {
		if err := n.Alive(ctx); err == nil {
			n.notify("WATCHDOG=1")
		} else if ctx.Err() == nil {
			n.Logger.Error().Err(err).Msg("no sign of life is sent to the service manager")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Alive returns once every check of health has come to an end, whatever it found:
// a restart does not cure a full disk or an unreachable cluster, but it does
// cure a deadlock. An embedded server must answer, too.
func (n *Node) Alive(ctx context.Context) error {
	n.Health.Report(ctx)
	if n.ping == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, n.Supervisor.Watchdog/2)
	defer cancel()
	if err := n.ping(ctx); err != nil {
		return fmt.Errorf("ping embedded NATS server: %w", err)
	}
	return nil
}
