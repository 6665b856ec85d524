package loopback

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Fetch returns a page, and an error unless its status is 200.
func Fetch(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d: %s", url, resp.StatusCode, body)
	}
	return string(body), err
}

// SumOf sums the series of a metric on a page, apart from those that have a type; empty: all.
func SumOf(page, name, without string) (sum float64, err error) {
	for _, found := range regexp.MustCompile(`(?m)^`+name+`(\{[^}]*\})? (\S+)$`).FindAllStringSubmatch(page, -1) {
		if without != "" && strings.Contains(found[1], `type="`+without+`"`) {
			continue
		}
		v, err := strconv.ParseFloat(found[2], 64)
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}
