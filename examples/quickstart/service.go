package main

import (
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
)

// service is a small upstream. POST /break and POST /mend, on its own port, break and mend it.
type service struct {
	name   string
	broken atomic.Bool
	calls  atomic.Int64
	server *http.Server
}

func newService(name, address string) (*service, error) {
	s := &service{name: name}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("the %s service: %w", name, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", s.serve)
	mux.HandleFunc("POST /break", func(w http.ResponseWriter, _ *http.Request) { s.set(w, true) })
	mux.HandleFunc("POST /mend", func(w http.ResponseWriter, _ *http.Request) { s.set(w, false) })
	s.server = &http.Server{Handler: mux}
	go s.server.Serve(l)
	return s, nil
}

func (s *service) serve(w http.ResponseWriter, _ *http.Request) {
	s.calls.Add(1)
	if s.broken.Load() {
		http.Error(w, s.name+" is broken", http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "hello from %s\n", s.name)
}

func (s *service) set(w http.ResponseWriter, broken bool) {
	s.broken.Store(broken)
	fmt.Fprintf(w, "%s: broken = %v\n", s.name, broken)
}

func (s *service) close() { s.server.Close() }
