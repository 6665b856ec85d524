package stage

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"breakwater.dev/internal/processes"
)

const (
	// defaultIP is the address in the policies and on the pages of the demonstrations.
	defaultIP = "127.0.0.1"
	// patience is how long a step of a story may take. It is long because other programs may keep the machine busy.
	patience = 15 * time.Second
	pollGap  = 20 * time.Millisecond
)

// Stage has the parts of one demonstration.
type Stage struct {
	// IP is the address of all parts.
	IP string
	// Dir is a directory for files, which is removed at the end.
	Dir string

	stay     time.Duration // how long everything stays up after the story; 0: until Ctrl-C
	began    time.Time
	programs []*processes.Process
	services []*Service
}

// Main is the main function of a demonstration. It ends everything that the story has started, and the process.
func Main(name string, tell func(context.Context, *Stage) error) {
	ctx, stop := processes.Interruptible()
	err := run(ctx, name, tell)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, name string, tell func(context.Context, *Stage) error) (err error) {
	stay, err := processes.DemoSeconds()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "breakwater-"+name)
	if err != nil {
		return err
	}
	s := &Stage{IP: cmp.Or(os.Getenv("DEMO_IP"), defaultIP), Dir: dir, stay: stay, began: time.Now()}
	defer func() { err = errors.Join(err, s.close()) }()
	return tell(ctx, s)
}

// Port is an address that a part of the demonstration listens at.
type Port struct{ Address, What string }

// Free returns an error that names every port that another program uses.
func Free(ports ...Port) error {
	var taken []error
	for _, p := range ports {
		l, err := net.Listen("tcp", p.Address)
		if err != nil {
			taken = append(taken, fmt.Errorf("%s, which is to be %s, cannot be had: %w", p.Address, p.What, err))
			continue
		}
		l.Close()
	}
	if taken != nil {
		taken = append(taken, errors.New("stop the program that uses the port (is another demo running?) and try again"))
	}
	return errors.Join(taken...)
}

// Policies returns a directory with policies, or one with copies of them for another address than 127.0.0.1.
func (s *Stage) Policies(original string) (string, error) {
	if s.IP == defaultIP {
		return original, nil
	}
	files, err := filepath.Glob(filepath.Join(original, "*.yaml"))
	if err != nil {
		return "", err
	}
	dir := filepath.Join(s.Dir, "policies")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		text = bytes.ReplaceAll(text, []byte(defaultIP), []byte(s.IP))
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), text, 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// Launch starts a program, which ends with the demonstration at the latest.
func (s *Stage) Launch(c processes.Command) (*processes.Process, error) {
	p, err := processes.Launch(s.Dir, c)
	if err == nil {
		s.programs = append(s.programs, p)
	}
	return p, err
}

// Kill ends a program as a crash would.
func (s *Stage) Kill(p *processes.Process) {
	s.programs = slices.DeleteFunc(s.programs, func(other *processes.Process) bool { return other == p })
	p.Kill()
}

// died returns the error of a program that has ended by itself; nil: all are there.
func (s *Stage) died() error {
	for _, p := range s.programs {
		select {
		case <-p.Exited():
			return p.Died()
		default:
		}
	}
	return nil
}

// Await waits until check returns nil, for at most 15 s. Its error says what did not happen, and has the last error of check. It gives up
// when ctx ends or a program does.
func (s *Stage) Await(ctx context.Context, what string, check func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if died := s.died(); died != nil {
			return died
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %s in vain until %s: %w", patience, what, err)
		}
		<-time.After(pollGap)
	}
}

// Until says how long everything stays up after the story.
func (s *Stage) Until() string {
	if s.stay > 0 {
		return "for " + s.stay.String()
	}
	return "until Ctrl-C"
}

// Idle waits until ctx ends or the time of the demonstration is over. It returns an error if a program ends before.
func (s *Stage) Idle(ctx context.Context) error {
	if s.stay > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.stay)
		defer cancel()
	}
	for ctx.Err() == nil {
		if err := s.died(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollGap):
		}
	}
	fmt.Println("\nStopping.")
	return nil
}

// close stops all programs, the last one first, and waits until they have ended. Then it ends the services and removes the files.
func (s *Stage) close() error {
	var problems []error
	for _, p := range slices.Backward(s.programs) {
		problems = append(problems, p.Stop())
	}
	for _, service := range s.services {
		problems = append(problems, service.server.Close())
	}
	return errors.Join(append(problems, os.RemoveAll(s.Dir))...)
}

// Title prints what the next part of the story is about.
func (s *Stage) Title(text string) { fmt.Printf("\n%s\n", text) }

// Say prints a line of the story, with the time since it began.
func (s *Stage) Say(format string, args ...any) {
	fmt.Printf("  %5.1fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}
