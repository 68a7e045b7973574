//go:build chaos

package main

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy is a TCP proxy that breaks what goes through it.
type proxy struct {
	listener net.Listener
	upstream string

	mu    sync.Mutex
	delay time.Duration
	links map[*link]bool
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	dead           chan struct{} // closed: what arrives is dropped silently
	ended          chan struct{}
	once           sync.Once
}

func (l *link) close() {
	l.once.Do(func() {
		close(l.ended)
		l.client.Close()
		l.server.Close()
	})
}

func startProxy(t *testing.T, upstream string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, upstream: upstream, links: map[*link]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", upstream)
			if err != nil {
				conn.Close()
				continue
			}
			k := &link{client: conn, server: server, dead: make(chan struct{}), ended: make(chan struct{})}
			p.mu.Lock()
			p.links[k] = true
			p.mu.Unlock()
			running.Go(func() { p.pump(k, k.client, k.server) })
			running.Go(func() { p.pump(k, k.server, k.client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.cut()
		running.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// pump passes on what comes from one side to the other.
func (p *proxy) pump(k *link, from io.Reader, to io.Writer) {
	defer p.drop(k)
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		p.mu.Lock()
		delay := p.delay
		p.mu.Unlock()
		if delay > 0 {
			select {
			case <-k.ended:
			case <-time.After(rand.N(delay)):
			}
		}
		select {
		case <-k.dead:
			if err != nil {
				<-k.ended // the other side sees nothing of it
				return
			}
			continue
		default:
		}
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) drop(k *link) {
	k.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, k)
}

func (p *proxy) all() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*link
	for k := range p.links {
		all = append(all, k)
	}
	return all
}

// cut closes all connections; new ones work.
func (p *proxy) cut() {
	for _, k := range p.all() {
		k.close()
	}
}

// deaden makes all connections half-open: they stay, and nothing comes through
// them any more. New ones work.
func (p *proxy) deaden() {
	for _, k := range p.all() {
		select {
		case <-k.dead:
		default:
			close(k.dead)
		}
	}
}

// slow delays each packet by up to limit.
func (p *proxy) slow(limit time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = limit
}
