package protocol

import "breakwater.dev/xds"

// synced is the state of a subscription whose proxy is in sync: it has every resource that it wants, and no others. While
// only versions change, the subscription looks at the resources that have changed, and not at all of them. In SotW, where
// each response repeats all resources, no proxy counts as in sync.
type synced struct {
	resources []*xds.Resource // the ones that the proxy gets, which are not changed in place
	names     int64           // see [Weight]; below 0: not known
}

// sync notes that the proxy is in sync with these resources.
func (s *Subscription) sync(resources []*xds.Resource) {
	s.synced = &synced{resources: resources, names: -1}
}

// unsync notes that the proxy may be out of sync.
func (s *Subscription) unsync() { s.synced = nil }

// syncedWith reports whether the proxy is in sync with these resources, in the same list.
func (s *Subscription) syncedWith(resources []*xds.Resource) bool {
	return s.synced != nil && len(s.synced.resources) == len(resources) && (len(resources) == 0 || &s.synced.resources[0] == &resources[0])
}

// follow returns the resources that have changed since the proxy was in sync. With those it will be in sync again. It
// returns false if the proxy was not in sync, or if names have come or gone.
func (s *Subscription) follow(resources []*xds.Resource) (changed []*xds.Resource, ok bool) {
	if s.syncedWith(resources) {
		return nil, true
	}
	if s.synced == nil || len(s.synced.resources) != len(resources) {
		s.unsync()
		return nil, false
	}
	for i, had := range s.synced.resources {
		switch r := resources[i]; {
		case r == had:
		case r.Name == had.Name:
			changed = append(changed, r)
		default:
			s.unsync()
			return nil, false
		}
	}
	s.synced.resources = resources
	return changed, true
}
