package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"breakwater.dev/api"
)

// When payments has just come back, it takes slowly for a response, and then slower, so that probes are in flight when their owner is killed.
const (
	slowly = 200 * time.Millisecond
	slower = 700 * time.Millisecond
)

// story breaks payments, a control plane and the store, and mends them.
type story struct {
	*mesh
	lost *replica // the control plane that was killed
	turn int      // counts failing calls, which take the proxies in turn
}

func (s *story) works(ctx context.Context) error {
	s.Title("Three control planes share the breakers. Each breaker has one owner, which decides; any of them can configure any proxy.")
	if err := s.agree(ctx); err != nil {
		return err
	}
	if _, err := s.sayOwners(ctx); err != nil {
		return err
	}
	if err := s.sayProxies(ctx); err != nil {
		return err
	}
	if err := s.all(ctx, passed); err != nil {
		return err
	}
	s.Say("payments answers %d through each of the %d proxies", passed, len(s.proxies))
	return nil
}

func (s *story) trips(ctx context.Context) error {
	s.Title(fmt.Sprintf("payments breaks. Its breaker trips after %d failures in a row, whichever proxies they come through.", tripsAfter))
	return s.trip(ctx)
}

// trip breaks payments, and shows that its breaker opens after exactly as many failures as its policy says.
func (s *story) trip(ctx context.Context) error {
	if err := s.calm(ctx); err != nil {
		return err
	}
	s.payments.Become(true, 0)
	before := s.payments.Calls()
	if err := s.fail(ctx, tripsAfter-1); err != nil {
		return err
	}
	if err := s.counted(ctx, tripsAfter-1); err != nil {
		return err
	}
	if _, err := s.everywhere(ctx, api.Closed); err != nil {
		return err
	}
	s.Say("%d calls have failed, through all proxies in turn: all control planes say that the breaker is closed", tripsAfter-1)
	if err := s.fail(ctx, 1); err != nil {
		return err
	}
	failed := time.Now()
	b, err := s.everywhere(ctx, api.Open)
	if err != nil {
		return err
	}
	opened := time.Since(failed)
	reached := s.payments.Calls() - before
	if b.Trip == nil || b.Trip.Window.Run != tripsAfter || reached != tripsAfter {
		return fmt.Errorf("the breaker opened by %+v after %d calls; it should be after a run of %d failures", b.Trip, reached, tripsAfter)
	}
	if err := s.all(ctx, rejected); err != nil {
		return err
	}
	s.Say("one more has failed: its owner, %s, opens the breaker, because of %s. All control planes say so after %s, and all proxies reject after %s",
		b.Owner, b.Trip.Reason, opened.Round(time.Millisecond), time.Since(failed).Round(time.Millisecond))
	return s.reject(ctx)
}

// calm waits until earlier calls are counted: proxies report calls up to 50 ms after their end, so that a success of one proxy could be
// counted after a failure of another one.
func (s *story) calm(ctx context.Context) error {
	const lasts = 250 * time.Millisecond
	var last string
	since := time.Now()
	return s.Await(ctx, "all control planes have counted the same calls", func() error {
		var seen []string
		for _, r := range s.live() {
			b, _, err := r.client.Get(ctx, "payments")
			if err != nil {
				return err
			}
			seen = append(seen, fmt.Sprint(b.Counts.Requests))
		}
		now := strings.Join(seen, " ")
		if now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) < lasts || len(slices.Compact(seen)) > 1 {
			return fmt.Errorf("they have counted %s calls", now)
		}
		return nil
	})
}

// fail makes failing calls, each through another proxy than the one before.
func (s *story) fail(ctx context.Context, n int) error {
	for range n {
		p := s.proxies[s.turn%len(s.proxies)]
		s.turn++
		if r := s.call(ctx, p); r.Status != http.StatusInternalServerError {
			return fmt.Errorf("%s answers %d %s; payments is broken, and its breaker should be closed", p.ID, r.Status, r.Body)
		}
	}
	return nil
}

// counted waits until a run of failures has arrived at all control planes.
func (s *story) counted(ctx context.Context, n uint32) error {
	return s.Await(ctx, "all failures are counted", func() error {
		for _, r := range s.live() {
			b, _, err := r.client.Get(ctx, "payments")
			if err != nil {
				return err
			}
			if b.Window.Run != n {
				return fmt.Errorf("%s knows of %d failures in a row, of %d", r.name, b.Window.Run, n)
			}
		}
		return nil
	})
}

// reject shows that no call reaches payments.
func (s *story) reject(ctx context.Context) error {
	const each = 50
	before := s.payments.Calls()
	for range each {
		if err := s.all(ctx, rejected); err != nil {
			return err
		}
	}
	if n := s.payments.Calls() - before; n > 0 {
		return fmt.Errorf("%d calls reached payments, whose breaker is open", n)
	}
	s.Say("%d more calls were rejected; none of them reached payments", each*len(s.proxies))
	return nil
}

func (s *story) losesOwner(ctx context.Context) error {
	s.Title(fmt.Sprintf("payments comes back, slowly. After 2 s the breaker is half-open, and lets %d probes through at a time, over all proxies. Then its owner is killed.", permitted))
	s.payments.Become(false, slowly)
	s.payments.Watch(successes)
	callers := s.crowd(ctx)
	defer callers.stop()
	b, err := s.everywhere(ctx, api.HalfOpen)
	if err != nil {
		return err
	}
	s.Say("the breaker is half-open; %d callers go on calling. Its owner is new, and a new owner lets no probes through for 9 s", callersEach*len(s.proxies))
	if err := s.probes(ctx); err != nil {
		return err
	}
	if err := s.killOwner(ctx, b.Owner); err != nil {
		return err
	}
	if err := s.probesAgain(ctx); err != nil {
		return err
	}
	return s.heal(ctx, callers)
}

// probes waits until a probe has ended and as many as are permitted are in flight, which stay there for a while.
func (s *story) probes(ctx context.Context) error {
	err := s.Await(ctx, "a probe has ended", func() error {
		if s.payments.Watched().Left == successes {
			return errors.New("none has")
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.payments.Become(false, slower)
	before := s.payments.Calls()
	return s.Await(ctx, "as many probes are in flight as are permitted", func() error {
		begun, inFlight := s.payments.Calls()-before, s.payments.Watched().InFlight
		if begun < permitted || inFlight < permitted {
			return fmt.Errorf("%d have begun, and %d are in flight", begun, inFlight)
		}
		return nil
	})
}

// probesAgain waits until the new owner lets probes through.
func (s *story) probesAgain(ctx context.Context) error {
	before := s.payments.Calls()
	err := s.Await(ctx, "the new owner lets probes through", func() error {
		if s.payments.Calls() == before {
			return errors.New("none has arrived")
		}
		return nil
	})
	if err == nil {
		s.Say("probes arrive again: no probe can be on its way any longer that %s has allowed", s.lost.name)
	}
	return err
}

// killOwner kills a control plane, and waits until another one has the breaker of payments.
func (s *story) killOwner(ctx context.Context, name string) error {
	for _, r := range s.replicas {
		if r.name == name {
			s.lost = r
		}
	}
	if s.lost == nil {
		return fmt.Errorf("%q owns the breaker of payments, and is none of the control planes", name)
	}
	s.lost.away = true
	killed, inFlight := time.Now(), s.payments.Watched().InFlight
	s.Kill(s.lost.process)
	s.Say("kill -9 of %s, with %d probes in flight", name, inFlight)
	if err := s.agree(ctx); err != nil {
		return err
	}
	took := time.Since(killed)
	owner, err := s.sayOwners(ctx)
	if err != nil {
		return err
	}
	s.Say("after %.1f s the others own the breakers of %s; %s has the one of payments", took.Seconds(), name, owner.name)
	return nil
}

// heal mends payments, and waits until its probes have closed the breaker.
func (s *story) heal(ctx context.Context, callers *callers) error {
	s.payments.Become(false, 0)
	s.Say("payments is mended: it answers at once")
	b, err := s.everywhere(ctx, api.Closed)
	if err != nil {
		return err
	}
	if err := s.all(ctx, passed); err != nil {
		return err
	}
	w := s.payments.Watched()
	if w.Most > permitted {
		return fmt.Errorf("%d probes were in flight at payments at once; %d are permitted", w.Most, permitted)
	}
	if b.LastTransition == nil {
		return fmt.Errorf("%s does not say why the breaker is closed", b.Owner)
	}
	s.Say("its owner, %s, closes the breaker, because of %s, and all proxies pass calls. The most probes that payments has seen at once are %d, of %d permitted",
		b.Owner, b.LastTransition.Reason, w.Most, permitted)
	passed, rejected, err := callers.stop()
	if err != nil {
		return fmt.Errorf("a response was neither one of payments nor the fallback: %w", err)
	}
	s.Say("callers got %d responses of payments and %d times the fallback, and no error", passed, rejected)
	return nil
}

func (s *story) losesStore(ctx context.Context) error {
	s.Title("The store is frozen: it answers nobody. Breakers go on, because no call waits for it.")
	if err := s.store.Freeze(); err != nil {
		return err
	}
	err := s.Await(ctx, "the control planes notice that the store does not answer", func() error {
		for _, r := range s.live() {
			if got := r.metrics(ctx, "breakwater_store_reachable"); len(got) != 1 || !strings.HasSuffix(got[0], " 0") {
				return fmt.Errorf("%s has %q", r.name, got)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.sayHealth(ctx); err != nil {
		return err
	}
	if err := s.trip(ctx); err != nil {
		return err
	}
	s.payments.Watch(successes)
	callers := s.crowd(ctx)
	defer callers.stop()
	return s.heal(ctx, callers)
}

// sayHealth prints what each control plane says of itself. All have to be ready.
func (s *story) sayHealth(ctx context.Context) error {
	for _, r := range s.live() {
		ready, err := r.client.Ready(ctx)
		if err != nil {
			return err
		}
		if ready.Status != api.IsReady {
			return fmt.Errorf("%s is %s: %+v", r.name, ready.Status, ready.Conditions)
		}
		s.Say("%-5s /health/ready: %s; /metrics: %s", r.name, ready.Status,
			strings.Join(r.metrics(ctx, "breakwater_store_reachable", "breakwater_replicas_members", "breakwater_replicas_unreachable"), ", "))
	}
	return nil
}

func (s *story) recovers(ctx context.Context) error {
	s.Title(fmt.Sprintf("The store answers again, and %s is started again: it gets its share of the breakers.", s.lost.name))
	if err := s.store.Thaw(); err != nil {
		return err
	}
	began := time.Now()
	if err := s.startReplica(s.lost); err != nil {
		return err
	}
	if err := s.agree(ctx); err != nil {
		return err
	}
	s.Say("after %.1f s %s is one of the three again", time.Since(began).Seconds(), s.lost.name)
	owners, err := s.owners(ctx)
	if err != nil {
		return err
	}
	if len(owners[s.lost.name]) == 0 {
		return errors.New(s.lost.name + " owns no breaker")
	}
	if _, err := s.sayOwners(ctx); err != nil {
		return err
	}
	if err := s.sayProxies(ctx); err != nil {
		return err
	}
	if err := s.sayHealth(ctx); err != nil {
		return err
	}
	return s.byHand(ctx)
}

// byHand shows that what an operator does at one control plane holds at all proxies.
func (s *story) byHand(ctx context.Context) error {
	s.Title("An operator forces the breaker of payments open, at one control plane after the other, and resets it at the next one.")
	for i, r := range s.replicas {
		next := s.replicas[(i+1)%len(s.replicas)]
		began := time.Now()
		if _, _, err := r.client.Force(ctx, "payments", api.Force{State: api.Open, By: "demo", Reason: "a drill", For: time.Hour}); err != nil {
			return fmt.Errorf("forcing the breaker open at %s: %w", r.name, err)
		}
		if err := s.all(ctx, rejected); err != nil {
			return err
		}
		forced := time.Since(began)
		began = time.Now()
		if _, _, err := next.client.Reset(ctx, "payments", "demo", "the drill is over"); err != nil {
			return fmt.Errorf("resetting the breaker at %s: %w", next.name, err)
		}
		if err := s.all(ctx, passed); err != nil {
			return err
		}
		s.Say("forced open at %s: all proxies reject after %s. Reset at %s: all pass after %s",
			r.name, forced.Round(time.Millisecond), next.name, time.Since(began).Round(time.Millisecond))
	}
	return nil
}
