package fleet

import "sync"

// texts gives each text a small number, so that many proxies can remember it cheaply. The numbers begin at first, so that
// smaller ones can have a meaning of their own. It is safe for concurrent use.
type texts struct {
	first uint32

	mu      sync.RWMutex
	numbers map[string]uint32
	all     []string // by number, less first
}

func newTexts(first uint32) *texts { return &texts{first: first, numbers: map[string]uint32{}} }

// number returns the number of a text.
func (t *texts) number(text []byte) uint32 {
	t.mu.RLock()
	n, ok := t.numbers[string(text)]
	t.mu.RUnlock()
	if ok {
		return n
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n, ok := t.numbers[string(text)]; ok {
		return n
	}
	n = t.first + uint32(len(t.all))
	t.numbers[string(text)] = n
	t.all = append(t.all, string(text))
	return n
}

// text returns the text of a number.
func (t *texts) text(number uint32) string { return t.known()[number-t.first] }

// known returns all texts, by number less first. Texts that come later are not among them.
func (t *texts) known() []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.all
}
