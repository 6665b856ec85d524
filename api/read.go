package api

import (
	"encoding/json"
	"fmt"
)

// readOne reads the answer that is one breaker.
func readOne(d *json.Decoder) (Item, *Instance, error) {
	var text json.RawMessage
	if err := d.Decode(&text); err != nil {
		return Item{}, nil, err
	}
	var one OneBreaker
	if err := json.Unmarshal(text, &one); err != nil {
		return Item{}, nil, err
	}
	return Item{Breaker: one.Breaker, JSON: text}, one.AnsweredBy, nil
}

// readList reads the answer that is a list of breakers, and hands each of them to visit, whose error ends it.
func readList(d *json.Decoder, visit func(Item) error) (by *Instance, err error) {
	for _, want := range []json.Token{json.Delim('{'), "breakers", json.Delim('[')} {
		if err := expect(d, want); err != nil {
			return nil, err
		}
	}
	for d.More() {
		item := Item{}
		if err := d.Decode(&item.JSON); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(item.JSON, &item.Breaker); err != nil {
			return nil, err
		}
		if err := visit(item); err != nil {
			return nil, err
		}
	}
	if err := expect(d, json.Delim(']')); err != nil { // else the answer was cut off
		return nil, err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		if name != "answered_by" {
			continue
		}
		by = nil // nothing is left of an earlier one
		if err := json.Unmarshal(value, &by); err != nil {
			return nil, err
		}
	}
	return by, expect(d, json.Delim('}'))
}

// expect reads a token that has to be want.
func expect(d *json.Decoder, want json.Token) error {
	got, err := d.Token()
	if err == nil && got != want {
		err = fmt.Errorf("%v where %v was to be", got, want)
	}
	return err
}
