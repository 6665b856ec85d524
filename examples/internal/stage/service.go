package stage

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Service is a small upstream. POST /break and POST /mend, on its own port, break and mend it.
type Service struct {
	name   string
	server *http.Server

	mu       sync.Mutex
	broken   bool
	takes    time.Duration
	calls    int
	inFlight int
	watched  int // calls that Watch still looks at
	most     int
}

// Service starts a service, which ends with the demonstration.
func (s *Stage) Service(name, address string) (*Service, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("the %s service: %w", name, err)
	}
	v := &Service{name: name}
	mux := http.NewServeMux()
	mux.HandleFunc("/", v.serve)
	mux.HandleFunc("POST /break", func(w http.ResponseWriter, _ *http.Request) { v.set(w, true) })
	mux.HandleFunc("POST /mend", func(w http.ResponseWriter, _ *http.Request) { v.set(w, false) })
	v.server = &http.Server{Handler: mux}
	go v.server.Serve(l)
	s.services = append(s.services, v)
	return v, nil
}

func (v *Service) serve(w http.ResponseWriter, r *http.Request) {
	broken, takes := v.begin()
	defer v.end()
	select {
	case <-time.After(takes):
	case <-r.Context().Done():
		return
	}
	if broken {
		http.Error(w, v.name+" is broken", http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "hello from %s\n", v.name)
}

func (v *Service) begin() (broken bool, takes time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls++
	v.inFlight++
	if v.watched > 0 {
		v.most = max(v.most, v.inFlight)
	}
	return v.broken, v.takes
}

func (v *Service) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.inFlight--
	v.watched = max(v.watched-1, 0)
}

func (v *Service) set(w http.ResponseWriter, broken bool) {
	v.Become(broken, 0)
	fmt.Fprintf(w, "%s: broken = %v\n", v.name, broken)
}

// Become breaks or mends the service, and says how long its responses take from now on.
func (v *Service) Become(broken bool, takes time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.broken, v.takes = broken, takes
}

// Calls returns how many calls have reached the service.
func (v *Service) Calls() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls
}

// Watch begins to look at how many calls are in flight at once, until n calls have ended.
func (v *Service) Watch(n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.watched, v.most = n, v.inFlight
}

// Watched has the calls that a service has seen since [Service.Watch].
type Watched struct {
	InFlight int // calls, now
	Most     int // calls in flight at once, among those that Watch looks at
	Left     int // calls that Watch still looks at
}

// Watched returns what the service has seen since [Service.Watch].
func (v *Service) Watched() Watched {
	v.mu.Lock()
	defer v.mu.Unlock()
	return Watched{InFlight: v.inFlight, Most: v.most, Left: v.watched}
}
