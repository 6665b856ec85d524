package httpapi

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"breakwater.dev/breaker"
)

// TestEveryConfigFieldIsShown: a field that is added to the breaker's Config has
// to appear in its JSON.
func TestEveryConfigFieldIsShown(t *testing.T) {
	text := func(c breaker.Config) string {
		b, err := json.Marshal(describeConfig(&c))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := text(breaker.DefaultConfig())
	for i := range reflect.TypeFor[breaker.Config]().NumField() {
		c := breaker.DefaultConfig()
		switch f := reflect.ValueOf(&c).Elem().Field(i); {
		case f.CanInt():
			f.SetInt(f.Int() + int64(time.Second))
		case f.CanUint():
			f.SetUint(f.Uint() + 1)
		default:
			t.Fatalf("field %s is of a kind that this test does not know", reflect.TypeFor[breaker.Config]().Field(i).Name)
		}
		if text(c) == before {
			t.Errorf("%s is not shown", reflect.TypeFor[breaker.Config]().Field(i).Name)
		}
	}
}
