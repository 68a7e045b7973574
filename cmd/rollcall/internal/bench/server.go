package bench

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"rollcall/cmd/rollcall/internal/console"
)

// Serve runs the server that a benchmark starts as a process of its own, so that its
// memory and its client's are counted apart. It serves until its input ends, which it
// does when the parent dies. The password is the input's first line, the address what
// it prints.
func Serve(a *console.IO, dir string) error {
	in := bufio.NewReader(a.Stdin)
	password, err := in.ReadString('\n')
	if err != nil {
		return fmt.Errorf("read password: %w", err)
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "bench", Host: "127.0.0.1", Port: server.RANDOM_PORT, Username: serverUser, Password: strings.TrimSpace(password),
		JetStream: true, StoreDir: dir, JetStreamMaxStore: math.MaxInt64 / 2, NoSigs: true, NoLog: true,
		SyncInterval: time.Second, // as the embedded server has it
	})
	if err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(requestTimeout) {
		return errors.New("the server is not ready")
	}
	fmt.Fprintln(a.Stdout, s.ClientURL())
	for err == nil {
		_, err = in.ReadByte()
	}
	return nil
}

const serverUser = "bench"

// startServer starts the server and connects to it. stop ends it.
func startServer(ctx context.Context, dir string) (nc *nats.Conn, pid int, stop func() error, err error) {
	program, err := thisProgram()
	if err != nil {
		return nil, 0, nil, err
	}
	cmd := exec.CommandContext(ctx, program, "bench", "server", filepath.Join(dir, "nats")) //nolint:gosec // this very program
	cmd.Args[0] = os.Args[0]
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, 0, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, 0, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, 0, nil, fmt.Errorf("start server: %w", err)
	}
	stop = func() error {
		_ = in.Close()
		return cmd.Wait()
	}
	password := rand.Text()
	if _, err := fmt.Fprintln(in, password); err != nil {
		return nil, 0, nil, errors.Join(err, stop())
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, 0, nil, errors.Join(fmt.Errorf("start server: %w", err), stop())
	}
	nc, err = nats.Connect(strings.TrimSpace(url), nats.UserInfo(serverUser, password))
	if err != nil {
		return nil, 0, nil, errors.Join(fmt.Errorf("connect to server: %w", err), stop())
	}
	return nc, cmd.Process.Pid, stop, nil
}

// residentBytes is the memory of a process that is in use, as Linux counts it;
// 0 where that is unknown.
func residentBytes(pid int) uint64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}
