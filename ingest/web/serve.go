package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// Serve serves s on l until ctx ends, then takes no new request, lets those under
// way end for at most drain, and returns nil; later ones are cut, which is an
// error. It closes l, and sets the server's ErrorLog, and its ConnState where it has
// none: a connection of l with a method Idle is notified when its request was answered.
func Serve(ctx context.Context, l net.Listener, s *http.Server, drain time.Duration, log zerolog.Logger) error {
	s.ErrorLog = ErrorLog(log)
	if s.ConnState == nil {
		s.ConnState = reportIdle
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := s.Shutdown(limit)
	if err != nil {
		err = errors.Join(fmt.Errorf("serve on %s: requests cut after %v: %w", l.Addr(), drain, err), s.Close())
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve on %s: %w", l.Addr(), ended))
	}
	return err
}

// reportIdle says Idle to a connection that wants to know when its request was
// answered.
func reportIdle(conn net.Conn, state http.ConnState) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if c, ok := conn.(interface{ Idle() }); ok && state == http.StateIdle {
		c.Idle()
	}
}

// ErrorLog is the standard logger that takes what net/http complains of: broken
// handshakes and requests, and panics. Of a text that can hold what a client sent
// only the size is logged, at debug; of a panic the stack, at error.
func ErrorLog(log zerolog.Logger) *stdlog.Logger { return stdlog.New(complaints{log}, "", 0) }

// complaints takes the lines of net/http's logger; see ErrorLog.
type complaints struct{ log zerolog.Logger }

func (c complaints) Write(b []byte) (int, error) {
	text := string(b)
	if at := strings.LastIndex(text, "\ngoroutine "); at >= 0 { // a panic; what is before the stack is its value
		c.log.Error().Str("stack", text[at+1:]).Msg("request ended in a panic")
		return len(b), nil
	}
	c.log.Debug().Int("text_bytes", len(b)).Msg("http server complains")
	return len(b), nil
}
