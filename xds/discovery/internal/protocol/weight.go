package protocol

import "breakwater.dev/xds"

const (
	// hadBytes is the memory for a resource in a list that the proxy shares with no other.
	hadBytes = 8
	// askedBytes is the memory for a name in a set that the proxy shares with no other.
	askedBytes = 16
	// nameBytes is the memory for the name of a resource that does not exist, beside the name itself.
	nameBytes = 256
)

// Weight is the most memory that a subscription takes, in bytes, by estimate.
type Weight struct {
	Sent  int64 // for the record of the resources that the proxy asked for and was sent
	Names int64 // for the names of resources that do not exist
}

// Weight returns the memory for the subscription. The proxy gets the given resources.
func (s *Subscription) Weight(resources xds.Resources) Weight {
	want := s.wanted(resources[s.typeURL])
	w := Weight{Sent: int64(s.has.Len())*hadBytes + int64(s.names.Len())*askedBytes}
	if s.names.Len() > 0 && s.typeURL != xds.VirtualHostType {
		known := want
		if s.wildcard {
			known = want.Named(s.names)
		}
		w.Names += int64(s.names.Len()-known.Len())*nameBytes + int64(s.names.Bytes()-known.NameBytes())
	}
	claimed, bytes := s.has.Claimed()
	w.Names += int64(claimed)*nameBytes + int64(bytes)
	return w
}

// Weight returns the most memory that the names in the request may take, in bytes.
func (r Request) Weight() int64 { return int64(r.change.size()) * nameBytes }
