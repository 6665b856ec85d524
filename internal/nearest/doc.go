// Package nearest measures how alike two words are, so that a message about an unknown name can suggest a known one.
//
// In: two words.
// Out: the distance between them.
// Called by: policies, for names in diagnostics; the command line, for keys of breakers.
// Never: decides which distance is small enough to suggest a word; its callers do.
// Concurrency: a pure function.
package nearest

// Distance returns the Levenshtein distance: the smallest number of bytes that must be inserted, deleted or
// replaced to turn a into b.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
