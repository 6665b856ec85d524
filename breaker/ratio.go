package breaker

import "fmt"

// Ratio is a share in basis points: 10,000 is 100 %. Whole numbers keep
// comparisons exact, so that 50 % of 10 calls is 5 failures and never 4.999.
type Ratio uint32

// Whole is a ratio of 100 %.
const Whole Ratio = 10_000

// Reached reports whether part out of total is at least r. Nothing out of nothing
// reaches no ratio.
func (r Ratio) Reached(part, total uint64) bool {
	return total > 0 && part*uint64(Whole) >= uint64(r)*total
}

// String prints the ratio as a percentage, as policies write it: "50%" or "0.25%".
func (r Ratio) String() string { return Hundredths(r).String() + "%" }

// Hundredths is a number with two decimals, in hundredths: 150 is 1.5.
type Hundredths uint32

// Float returns the number itself: 1.5 for 150.
func (h Hundredths) Float() float64 { return float64(h) / 100 }

// String prints the number with as few decimals as it needs: "1.5".
func (h Hundredths) String() string {
	switch {
	case h%100 == 0:
		return fmt.Sprintf("%d", h/100)
	case h%10 == 0:
		return fmt.Sprintf("%d.%d", h/100, h/10%10)
	default:
		return fmt.Sprintf("%d.%02d", h/100, h%100)
	}
}
