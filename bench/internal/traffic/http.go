package traffic

import (
	"bufio"
	"bytes"
	"strconv"
)

// The responses of the service.
var (
	okResponse    = []byte("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nok\n")
	errorResponse = []byte("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n")
)

// readRequest reads a request without a body.
func readRequest(in *bufio.Reader) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			return nil
		}
	}
}

// readResponse reads a response and returns its status.
func readResponse(in *bufio.Reader) (status int, err error) {
	length := 0
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		switch {
		case first && len(line) > 12:
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, err
			}
		case len(line) <= 2:
			_, err := in.Discard(length)
			return status, err
		case bytes.HasPrefix(line, []byte("content-length: ")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[16:]))); err != nil {
				return 0, err
			}
		}
	}
}
