package xds

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"breakwater.dev/xds/internal/message"
)

// Render prints resources as text, in the order of [Types] and then by name: with format "yaml" one document for each,
// with "json" one array. Equal resources print equal bytes. Any other format is an error.
func Render(rs Resources, format string) ([]byte, error) {
	var bodies []proto.Message
	for _, url := range Types {
		for _, r := range rs[url].All() {
			bodies = append(bodies, r.Body())
		}
	}
	switch format {
	case "yaml":
		return message.YAML(bodies)
	case "json":
		return message.JSON(bodies)
	}
	return nil, fmt.Errorf("format %q is neither yaml nor json", format)
}
