package addresses

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"breakwater.dev/instant"
	"breakwater.dev/membership"
	"breakwater.dev/membership/quorum"
)

const (
	// lookPeriod is the time between two questions to the name server.
	lookPeriod = 3 * time.Second
	// lookTimeout is how long an answer may take.
	lookTimeout = 2 * time.Second
	// leavePeriod is how long the others may take to make a view without this replica.
	leavePeriod = time.Second
	// patience is how long a majority may be missing without a line in the log.
	patience = 5 * time.Second
)

// Options connect a keeper with the rest of the process. All but Lookup are required.
type Options struct {
	membership.KeeperOptions
	// Send sends a message to another replica or, if it has no id, to whatever replica answers at the address. It must not block.
	Send func(to membership.Member, message []byte)
	// Lookup returns the addresses of a DNS name; nil: the system's resolver does that.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
}

// Keeper keeps a replica a member. Make one with [NewKeeper].
type Keeper struct {
	self  membership.Member
	peers Peers
	o     Options

	mu      sync.Mutex // guards what follows; it is taken before the locks of Options' functions
	quorum  *quorum.Quorum
	started instant.Instant
	epoch   uint64          // the last view's
	lease   instant.Instant // until when this replica is a member
	away    bool            // the log says that there is no majority
	told    map[string]bool // the troubles of the list that are in the log
}

// NewKeeper returns a keeper that has said nothing yet.
func NewKeeper(self membership.Member, peers Peers, o Options) *Keeper {
	if o.Lookup == nil {
		o.Lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	now := o.Now()
	k := &Keeper{self: self, peers: peers, o: o, started: now, told: map[string]bool{}}
	k.quorum = quorum.New(quorum.Options{
		Self: self, Nonce: o.Nonce, Epoch: uint64(max(time.Now().Unix(), 0)), Changing: peers.Name != "",
	}, now)
	k.quorum.Addresses(peers.List, now)
	return k
}

// Run takes part until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	var looking sync.WaitGroup
	if k.peers.Name != "" {
		looking.Go(func() { k.look(ctx) })
	}
	defer looking.Wait()
	ticker := time.NewTicker(quorum.Period / 3)
	defer ticker.Stop()
	for {
		k.tick()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (k *Keeper) tick() {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.o.Now()
	k.quorum.Learn(k.o.Known())
	k.take(k.quorum.Tick(now))
	k.report(now)
}

// Receive takes a message of a replica.
func (k *Keeper) Receive(from membership.Member, message []byte) {
	m := &quorum.Message{}
	if err := json.Unmarshal(message, m); err != nil {
		k.o.Log.Debug("a message about members cannot be read", "replica", from.Name, "error", err.Error())
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.take(k.quorum.Receive(from, m, k.o.Now()))
}

// take does what follows from a call: first here, and then for the others.
func (k *Keeper) take(out quorum.Out) {
	if v := &out.Result.View; v.Epoch != k.epoch {
		k.epoch = v.Epoch
		k.o.Log.Info("the members have changed", "epoch", v.Epoch, "members", v.Names())
	}
	k.lease = out.Result.Lease
	k.o.View(out.Result, out.Asked)
	for _, e := range out.Messages {
		data, err := json.Marshal(e.Message)
		if err != nil {
			k.o.Log.Error("a message about members cannot be written", "error", err.Error())
			continue
		}
		k.o.Send(e.To, data)
	}
}

// report writes to the log what an operator should know.
func (k *Keeper) report(now instant.Instant) {
	since := max(k.started, k.lease)
	if k.peers.Name != "" {
		since = max(since, k.started.Add(quorum.Watch))
	}
	switch member := k.lease > now; {
	case member && k.away:
		k.away = false
		k.o.Log.Info("a majority of the replicas is there again")
	case !member && !k.away && now.Sub(since) >= patience:
		k.away = true
		k.o.Log.Warn("this replica is in touch with no majority of the addresses of --peers: until then breakers are decided by what this side knows, and there are no probes")
	}
	found := map[string]bool{}
	for _, trouble := range k.quorum.Trouble(now) {
		found[trouble] = true
		if !k.told[trouble] {
			k.o.Log.Warn("--peers: " + trouble)
		}
	}
	k.told = found
}

// Leave has the other replicas go on without this one. Run goes on meanwhile, and after that: this replica may be the one that
// the others need to stay members. Leave returns when they have a view without it, or after a second.
func (k *Keeper) Leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leavePeriod)
	defer cancel()
	k.mu.Lock()
	k.quorum.Leave()
	k.mu.Unlock()
	k.tick()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !k.left() {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

func (k *Keeper) left() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.quorum.Left(k.o.Now())
}

// look asks the name server again and again until ctx ends. When it has no answer, the last one is in force for a while.
func (k *Keeper) look(ctx context.Context) {
	ticker := time.NewTicker(lookPeriod)
	defer ticker.Stop()
	for missing := false; ; {
		found, err := k.lookup(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case len(found) > 0:
			if missing {
				k.o.Log.Info("the name of --peers has addresses again", "name", k.peers.Name, "addresses", found)
			}
			missing = false
			k.mu.Lock()
			k.quorum.Addresses(found, k.o.Now())
			k.mu.Unlock()
		case !missing:
			missing = true
			reason := slog.String("reason", "the answer is empty")
			if err != nil {
				reason = slog.String("reason", err.Error())
			}
			k.o.Log.Warn("the name of --peers has no addresses; this replica goes on with those that it knows, if any, for 20 s", "name", k.peers.Name, reason)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (k *Keeper) lookup(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	ips, err := k.o.Lookup(ctx, k.peers.Name)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, ip := range family(ips, k.self.Address) {
		all = append(all, net.JoinHostPort(ip.String(), k.peers.Port))
	}
	return all, nil
}
