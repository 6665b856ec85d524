package protocol

import "breakwater.dev/xds"

const (
	// sentBytes is the memory for the record of a resource that a proxy was sent.
	sentBytes = 96
	// nameBytes is the memory for the name of a resource that does not exist, beside the name itself.
	nameBytes = 256
)

// Weight is the memory that a subscription takes, in bytes, by estimate.
type Weight struct {
	Sent  int64 // for the record of the resources that the proxy was sent
	Names int64 // for the names of resources that do not exist
}

// Weight returns the memory for the subscription. The proxy gets the given resources.
func (s *Subscription) Weight(resources xds.Resources) Weight {
	w := Weight{Sent: int64(len(s.sent)) * sentBytes}
	inSync := s.syncedWith(resources[s.typeURL])
	if inSync && s.synced.names >= 0 {
		w.Names = s.synced.names
		return w
	}
	for name := range s.names {
		if !resources.Has(s.typeURL, name) {
			w.Names += int64(len(name)) + nameBytes
		}
	}
	for name, r := range s.sent {
		if r != nil && r.Body == nil && !resources.Has(s.typeURL, name) {
			w.Names += int64(len(name)+len(r.Version)) + nameBytes
		}
	}
	if inSync {
		s.synced.names = w.Names
	}
	return w
}

// Weight returns the most memory that the names in the request may take, in bytes.
func (r Request) Weight() int64 { return int64(r.change.size()) * nameBytes }
