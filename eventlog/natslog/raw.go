package natslog

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"
)

// raw is a connection of its own that speaks just enough of the NATS client
// protocol (docs.nats.io/reference/reference-protocols/nats-protocol) to drain
// a pull consumer. It exists for replay: nats.go parses headers eagerly and
// allocates about 20 objects a message, which costs a reader more than decoding
// the record does. It is used for backlogs alone; whatever goes wrong ends it,
// and the caller goes on with nats.go from the last record it got.
type raw struct {
	conn  net.Conn
	in    *bufio.Reader
	reply []byte // of the last message
}

const (
	// rawBuffer is the read buffer; larger ones measured no faster.
	rawBuffer = 1 << 20
	// rawTimeout bounds the handshake and every silence afterwards.
	rawTimeout = 10 * time.Second
	// maxControlLine bounds a protocol line, maxPayload a message.
	maxControlLine = 16 << 10
	maxPayload     = 64 << 20
)

// errRaw: this server or these options need more than raw can do.
var errRaw = errors.New("not possible over a plain connection")

// serverInfo is what raw needs of the server's INFO.
type serverInfo struct {
	TLSRequired bool   `json:"tls_required"`
	Headers     bool   `json:"headers"`
	Nonce       string `json:"nonce"`
}

// connectInfo is the argument of CONNECT.
type connectInfo struct {
	Verbose   bool   `json:"verbose"`
	Pedantic  bool   `json:"pedantic"`
	JWT       string `json:"jwt,omitempty"`
	Nkey      string `json:"nkey,omitempty"`
	Signature string `json:"sig,omitempty"`
	User      string `json:"user,omitempty"`
	Pass      string `json:"pass,omitempty"`
	Token     string `json:"auth_token,omitempty"`
	TLS       bool   `json:"tls_required"`
	Name      string `json:"name"`
	Lang      string `json:"lang"`
	Version   string `json:"version"`
	Protocol  int    `json:"protocol"`
	Headers   bool   `json:"headers"`
	NoResp    bool   `json:"no_responders"`
}

// dialRaw opens a second connection to the server that nc is connected to,
// with the same credentials and TLS settings. The caller closes it.
func dialRaw(ctx context.Context, nc *nats.Conn) (*raw, error) {
	ctx, cancel := context.WithTimeout(ctx, rawTimeout)
	defer cancel()
	u, err := url.Parse(nc.ConnectedUrl())
	if err != nil {
		return nil, fmt.Errorf("parse server address: %w", err)
	}
	conn, err := dial(ctx, nc, u)
	if err != nil {
		return nil, err
	}
	w := &raw{conn: conn, in: bufio.NewReaderSize(conn, rawBuffer)}
	stop := context.AfterFunc(ctx, func() { _ = w.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := w.handshake(nc, u); err != nil {
		_ = w.conn.Close()
		return nil, fmt.Errorf("open connection for replay: %w", err)
	}
	return w, nil
}

func dial(ctx context.Context, nc *nats.Conn, u *url.URL) (net.Conn, error) {
	o := &nc.Opts
	switch {
	case o.TLSHandshakeFirst || u.Scheme == "ws" || u.Scheme == "wss":
		return nil, errRaw
	case o.InProcessServer != nil:
		return o.InProcessServer.InProcessConn()
	case o.CustomDialer != nil:
		return o.CustomDialer.Dial("tcp", u.Host)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", u.Host)
}

// handshake reads INFO, upgrades to TLS where asked, sends CONNECT and waits
// for the answer to a PING, which comes only if the server took it.
func (w *raw) handshake(nc *nats.Conn, u *url.URL) error {
	if err := w.conn.SetDeadline(time.Now().Add(rawTimeout)); err != nil {
		return err
	}
	line, err := w.line()
	if err != nil {
		return err
	}
	body, ok := bytes.CutPrefix(line, []byte("INFO "))
	var info serverInfo
	if !ok || json.Unmarshal(body, &info) != nil || !info.Headers {
		return fmt.Errorf("server greets with %.40q: %w", line, errRaw)
	}
	secure := info.TLSRequired || nc.Opts.Secure || u.Scheme == "tls"
	if secure {
		config := nc.Opts.TLSConfig.Clone()
		if config == nil {
			config = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		if config.ServerName == "" {
			config.ServerName = u.Hostname()
		}
		w.conn = tls.Client(w.conn, config)
		w.in.Reset(w.conn)
	}
	hello, err := hello(nc, u, info.Nonce, secure)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w.conn, "CONNECT %s\r\nPING\r\n", hello); err != nil {
		return err
	}
	for {
		line, err := w.line()
		switch {
		case err != nil:
			return err
		case bytes.HasPrefix(line, []byte("-ERR")):
			return fmt.Errorf("server says %q", line)
		case string(line) == "PONG":
			return nil
		}
	}
}

// hello is CONNECT's argument, with the credentials of nc in nats.go's order of
// precedence.
func hello(nc *nats.Conn, u *url.URL, nonce string, secure bool) ([]byte, error) {
	o := &nc.Opts
	c := connectInfo{
		TLS: secure, Name: o.Name + " replay", Lang: "go", Version: nats.Version, Protocol: 1, Headers: true, NoResp: true,
	}
	if pass, ok := u.User.Password(); u.User != nil && ok {
		c.User, c.Pass = u.User.Username(), pass
	} else if u.User != nil {
		c.Token = u.User.Username()
	} else {
		c.User, c.Pass, c.Token, c.Nkey = o.User, o.Password, o.Token, o.Nkey
		if o.UserInfo != nil {
			c.User, c.Pass = o.UserInfo()
		}
	}
	if o.TokenHandler != nil {
		c.Token = o.TokenHandler()
	}
	if o.UserJWT != nil {
		jwt, err := o.UserJWT()
		if err != nil {
			return nil, fmt.Errorf("read credentials: %w", err)
		}
		c.JWT = jwt
	}
	if (c.JWT != "" || c.Nkey != "") && o.SignatureCB != nil {
		sig, err := o.SignatureCB([]byte(nonce))
		if err != nil {
			return nil, fmt.Errorf("sign nonce: %w", err)
		}
		c.Signature = base64.RawURLEncoding.EncodeToString(sig)
	}
	return json.Marshal(c)
}

// line reads a protocol line without its end. It is valid until the next read.
func (w *raw) line() ([]byte, error) {
	line, err := w.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(line) > maxControlLine {
		return nil, fmt.Errorf("protocol line of %d bytes: %w", len(line), errRaw)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// frame is one message as it came. reply is good until the next read, header
// and body for as long as they are wanted.
type frame struct {
	reply  []byte
	header []byte
	body   []byte
}

// next returns the next message of any subscription. It answers pings.
func (w *raw) next(slab *slab) (frame, error) {
	for {
		line, err := w.line()
		if err != nil {
			return frame{}, err
		}
		switch {
		case bytes.HasPrefix(line, []byte("HMSG ")), bytes.HasPrefix(line, []byte("MSG ")):
			return w.message(line, slab)
		case string(line) == "PING":
			if _, err := io.WriteString(w.conn, "PONG\r\n"); err != nil {
				return frame{}, err
			}
		case bytes.HasPrefix(line, []byte("-ERR")):
			return frame{}, fmt.Errorf("server says %q", line)
		}
	}
}

// message reads what follows `HMSG subject sid [reply] header total` or
// `MSG subject sid [reply] total`.
func (w *raw) message(line []byte, slab *slab) (frame, error) {
	var fields [6][]byte
	n := 0
	for rest := line; len(rest) > 0; n++ {
		if n == len(fields) {
			return frame{}, fmt.Errorf("unexpected protocol line %.80q", line)
		}
		fields[n], rest, _ = bytes.Cut(rest, []byte{' '})
	}
	sizes := 1
	if line[0] == 'H' {
		sizes = 2
	}
	if n < 3+sizes || n > 4+sizes {
		return frame{}, fmt.Errorf("unexpected protocol line %.80q", line)
	}
	total, ok1 := number(fields[n-1])
	header, ok2 := 0, true
	if sizes == 2 {
		header, ok2 = number(fields[n-2])
	}
	if !ok1 || !ok2 || header > total || total > maxPayload {
		return frame{}, fmt.Errorf("unexpected protocol line %.80q", line)
	}
	var f frame
	if n == 4+sizes {
		// line is gone with the next read.
		w.reply = append(w.reply[:0], fields[3]...)
		f.reply = w.reply
	}
	block := slab.take(total)
	if _, err := io.ReadFull(w.in, block); err != nil {
		return frame{}, err
	}
	if _, err := w.in.Discard(2); err != nil {
		return frame{}, err
	}
	f.header, f.body = block[:header:header], block[header:total:total]
	return f, nil
}

// number reads a size of at most 9 digits.
func number(b []byte) (n int, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, len(b) > 0 && len(b) < 10
}

// slab hands out memory for bodies in large pieces, so that a record costs no
// allocation of its own. A piece lives as long as one of its records.
type slab struct{ free []byte }

const slabSize = 256 << 10

func (s *slab) take(n int) []byte {
	if n > slabSize/4 {
		return make([]byte, n)
	}
	if n > len(s.free) {
		s.free = make([]byte, slabSize)
	}
	b := s.free[:n:n]
	s.free = s.free[n:]
	return b
}
