package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// WhileRead returns a context that is over when the reader of out has gone away, as head does
// when it has had enough: a writer that writes seldom would not notice. Anything but
// a file or pipe is taken to be read for ever. The stop function ends the watching.
func WhileRead(ctx context.Context, out io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	f, ok := out.(*os.File)
	if !ok {
		return ctx, cancel
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if closed(f) {
				cancel()
			}
		}
	}()
	return ctx, func() {
		cancel()
		<-done
	}
}

// closed waits a moment for the other end of a pipe to be closed, and reports whether it is.
func closed(f *os.File) bool {
	const moment = 100 * time.Millisecond
	ends := []unix.PollFd{{Fd: int32(f.Fd())}} // poll reports errors without being asked for them
	n, err := unix.Poll(ends, int(moment/time.Millisecond))
	if errors.Is(err, unix.EINTR) || n == 0 {
		return false
	}
	return err != nil || ends[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0
}
