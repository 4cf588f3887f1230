package connectors

import (
	"fmt"
	"testing"
)

func TestNextHops(t *testing.T) {
	b := &Batch{Origin: "nats:x/S"}
	for value, want := range map[string]int{
		"kafka:c/t/0/1;hops=1": 2, "nats:x/S/1;hops=7": 8, "nats:x/S/1;hops=8": 0, "nats:x/S/1;hops=999": 0,
		"nats:x/S/1": 2, "": 2, ";hops=x": 2, ";hops=99999999999": 0, "a;hops=5;hops=2": 3, "a;hops=1234567890123456789": 2,
	} {
		got, err := NextHops(b, []byte(value), 0)
		if got != want || IsPermanent(err) != (want == 0) {
			t.Errorf("%q: %d, %v", value, got, err)
		}
	}
	for b, want := range map[*Batch]int{b: 1, {}: 0} {
		if got, err := NextHops(b, nil, 3); got != want || err != nil {
			t.Errorf("%+v: %d, %v", b, got, err)
		}
	}
}

func TestNextHopsHasALimit(t *testing.T) {
	b := &Batch{Origin: "nats:x/S"}
	for limit, last := range map[int]int{1: 0, 3: 2, MostHops: MostHops - 1} {
		if got, err := NextHops(b, fmt.Appendf(nil, "nats:x/S/1;hops=%d", last), limit); last > 0 && (got != limit || err != nil) {
			t.Errorf("limit %d: %d, %v", limit, got, err)
		}
		if _, err := NextHops(b, fmt.Appendf(nil, "nats:x/S/1;hops=%d", last+1), limit); !IsPermanent(err) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

func TestParseOrigin(t *testing.T) {
	for value, want := range map[string]string{
		"kafka:c/orders/3/1042;hops=1": "kafka:c/orders/3 1042 1", "nats:x/S/1": "nats:x/S 1 1", "nats:x/S/1;hops=4": "nats:x/S 1 4",
		"": "", "x": "", "/7": "", "a/": "", "a/-1": "", "a/1234567890123456789": "", "a/b;hops=1": "",
	} {
		got := ""
		if o, ok := ParseOrigin([]byte(value)); ok {
			got = fmt.Sprintf("%s %d %d", o.Partition, o.Offset, o.Hops)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}

// A header with a null value is a header.
func TestFindOrigin(t *testing.T) {
	headers := []Header{{Key: "sluice-origin", Value: []byte("no")}, {Key: OriginHeader}, {Key: OriginHeader, Value: []byte("second")}}
	if got := FindOrigin(headers); got == nil || len(got) != 0 {
		t.Errorf("%q", got)
	}
	if got := FindOrigin(headers[:1]); got != nil {
		t.Errorf("%q", got)
	}
}

// Where the source has no positions, what the message brought along stays.
func TestAppendOrigin(t *testing.T) {
	m, brought := &Message{Offset: 12}, []byte("kafka:c/t/0/1;hops=1")
	if got := string(AppendOrigin(nil, &Batch{}, m, brought, 2)); got != "kafka:c/t/0/1;hops=2" {
		t.Error(got)
	}
	if got := string(AppendOrigin([]byte("> "), &Batch{Origin: "nats:x/S"}, m, brought, 2)); got != "> nats:x/S/12;hops=2" {
		t.Error(got)
	}
}

func TestOriginAllocatesNothing(t *testing.T) {
	b, m := &Batch{Origin: "kafka:c/orders/3"}, &Message{Offset: 1042, Headers: []Header{{Key: OriginHeader, Value: []byte("nats:x/S/1;hops=1")}}}
	buffer := make([]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() {
		origin := FindOrigin(m.Headers)
		hops, err := NextHops(b, origin, 0)
		buffer = AppendOrigin(buffer[:0], b, m, origin, hops)
		if o, ok := ParseOrigin(buffer); !ok || o.Offset != 1042 || err != nil {
			t.Fatalf("%s, %v", buffer, err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
