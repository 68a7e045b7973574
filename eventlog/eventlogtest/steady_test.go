//go:build unix

package eventlogtest_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"rollcall/eventlog/eventlogtest"
)

// steadyChild marks the process that TestSteadily stops.
const steadyChild = "EVENTLOGTEST_STEADY_CHILD"

var errLate = errors.New("no answer in time")

// TestSteadily: what fails while the process stands still is done again, and nothing else is.
func TestSteadily(t *testing.T) {
	if os.Getenv(steadyChild) != "" {
		stands(t)
		return
	}
	calls := 0
	if err := eventlogtest.Steadily(func() error { calls++; return errLate }); !errors.Is(err, errLate) || calls != 1 {
		t.Errorf("Steadily() of what fails = %v after %d calls; want %v after 1", err, calls, errLate)
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSteadily$")
	child.Env = append(os.Environ(), steadyChild+"=1")
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "call 1" {
		t.Fatalf("the child begins with %q, %v; want its first call", lines.Text(), lines.Err())
	}
	for _, s := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
		if err := child.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if s == syscall.SIGSTOP {
			<-time.After(1500 * time.Millisecond) // it stands still for more than a second
		}
	}
	if _, err := io.WriteString(in, "go on\n"); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() || lines.Text() != "call 2" {
		t.Errorf("after it stood still the child says %q; want a second call", lines.Text())
	}
	rest, _ := io.ReadAll(out)
	if err := child.Wait(); err != nil {
		t.Errorf("the child ends with %v\n%s", err, rest)
	}
}

// stands fails while it stands still, and works then.
func stands(t *testing.T) {
	calls := 0
	if err := eventlogtest.Steadily(func() error {
		calls++
		fmt.Println("call", calls)
		if calls > 1 {
			return nil
		}
		_, err := bufio.NewReader(os.Stdin).ReadString('\n')
		return errors.Join(errLate, err)
	}); err != nil {
		t.Errorf("Steadily() = %v; want nil", err)
	}
}
