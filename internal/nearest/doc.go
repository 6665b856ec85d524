// Package nearest finds the word that somebody may have meant.
//
// In: two words.
// Out: how far apart they are.
// Called by: policies, for names in diagnostics; the command line, for keys of breakers.
// Never: decides how near is near enough; that depends on what the words are.
// Concurrency: a pure function.
package nearest

// Distance is how many bytes have to be put in, taken out or replaced to make b of
// a (Levenshtein's).
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
