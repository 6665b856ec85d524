package wire

import "time"

// DeadlineOf reads a grpc-timeout: up to eight digits and a unit. It returns 0 for any other text.
func DeadlineOf[T string | []byte](s T) time.Duration {
	if len(s) < 2 || len(s) > 9 {
		return 0
	}
	n, ok := digits(s, len(s)-1)
	if !ok {
		return 0
	}
	return time.Duration(n) * unitOf(s[len(s)-1])
}

// digits reads the first n bytes, at most eight, as a number.
func digits[T string | []byte](s T, n int) (value uint32, ok bool) {
	for i := range n {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		value = value*10 + uint32(s[i]-'0')
	}
	return value, n > 0
}

// unitOf returns the unit that a letter of grpc-timeout stands for, or 0 for any other letter.
func unitOf(c byte) time.Duration {
	switch c {
	case 'H':
		return time.Hour
	case 'M':
		return time.Minute
	case 'S':
		return time.Second
	case 'm':
		return time.Millisecond
	case 'u':
		return time.Microsecond
	case 'n':
		return time.Nanosecond
	}
	return 0
}
