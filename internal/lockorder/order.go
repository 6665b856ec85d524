package lockorder

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
)

// The places of the locks. The type of a lock gives its place, as in Mutex[DiscoveryStream]. Several locks may share a
// place; then no goroutine may hold two of them.
type (
	// DriverDelivery is the place of the lock that a driver holds while it calls the observers of a transition.
	DriverDelivery struct{}
	// FeedServer is the place of the feed's lock, which guards the proxies that it knows.
	FeedServer struct{}
	// FeedSuspect is the place of the lock of one breaker whose calls are all logged for a while.
	FeedSuspect struct{}
	// FeedNode is the place of the lock of one proxy in the feed.
	FeedNode struct{}
	// DiscoveryPublisher is the place of the publisher's lock, which guards the resources that all proxies get.
	DiscoveryPublisher struct{}
	// DiscoveryStream is the place of a stream's lock, which guards its knowledge of one proxy.
	DiscoveryStream struct{}
	// DiscoveryLeaf is the place of all other locks of xds/discovery.
	DiscoveryLeaf struct{}
	// SharedResources is the place of the locks of shared resources: one guards what a list remembers, the other guards
	// which lists there are.
	SharedResources struct{}
	// ExtProcCall is the place of the lock of one request in ext_proc. Outcomes are given to a breaker while it is held.
	ExtProcCall struct{}
	// Peers is the place of the lock of breakers that other replicas share. Messages are queued, and the engine is called, while it
	// is held.
	Peers struct{}
	// PeersLeaf is the place of the lock of running calls whose breakers other replicas have.
	PeersLeaf struct{}
	// GateLeaf is the place of the locks of gate/publisher. One guards transitions on their way to its
	// goroutine, the other the gates in force in each proxy.
	GateLeaf struct{}
	// DriverLeaf is the place of the lock of a driver's transitions that wait for their delivery.
	DriverLeaf struct{}
)

// order is the order of all places: a goroutine that holds a lock may take only locks whose places come later. Put a new
// lock after every lock that may be held when it is taken.
var order = []any{
	DriverDelivery{},
	FeedServer{},
	FeedSuspect{},
	FeedNode{},
	DiscoveryPublisher{},
	DiscoveryStream{},
	DiscoveryLeaf{},
	SharedResources{},
	ExtProcCall{},
	Peers{},
	PeersLeaf{},
	GateLeaf{},
	DriverLeaf{},
}

// violated ends the process with a message. A panic of the calling goroutine could be recovered, as servers do for each
// request and stream, and the test would pass.
var violated = func(message string) {
	message += "\n" + string(debug.Stack())
	go panic(message)
	select {}
}

// maxPlaces is the largest length of order: the locks that a goroutine holds fit into one word.
const maxPlaces = 64

// index returns the index of a place in the order. It panics for a type that is no place.
func index(place any) int {
	at := slices.Index(order, place)
	if at < 0 || at >= maxPlaces {
		panic(fmt.Sprintf("lockorder: %T is not among the first %d places of the order", place, maxPlaces))
	}
	return at
}

// name returns the name of a place, for messages.
func name(at int) string {
	return strings.TrimPrefix(fmt.Sprintf("%T", order[at]), "lockorder.")
}
