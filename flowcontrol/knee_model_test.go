package flowcontrol

import (
	"testing"

	"pgregory.net/rapid"
)

// Whatever happens in whatever order, the limit is one that a window can have, and a sink whose every message
// takes the same time is given more and more in the end.
func TestKneeOutlivesAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := newKnee(1000)
		now := 0.0
		acknowledge := func(residence float64) {
			now += residence / 4
			k.sample(now, max(1, float64(int(k.limit/4))), residence, true)
		}
		holds := func() {
			if !(k.limit >= 1 && k.limit <= k.most && k.base >= 1 && k.base <= k.most) {
				t.Fatalf("limit %v, base %v of at most %v", k.limit, k.base, k.most)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"acknowledge": func(t *rapid.T) {
				residence := rapid.Float64Range(1e-9, 30).Draw(t, "residence")
				for range rapid.IntRange(1, 200).Draw(t, "times") {
					acknowledge(residence)
					holds()
				}
			},
			"idle": func(t *rapid.T) {
				now += rapid.Float64Range(0, 1000).Draw(t, "seconds")
				k.sample(now, float64(rapid.IntRange(1, 2000).Draw(t, "messages")), 0.01, false)
			},
			"throttle":  func(*rapid.T) { k.throttled(now) },
			"reconnect": func(*rapid.T) { k.forget(now) },
			"resize":    func(t *rapid.T) { k.resize(now, float64(rapid.IntRange(1, 100_000).Draw(t, "most"))) },
			"":          func(*rapid.T) { holds() },
		})
		k.resize(now, 1000)
		now += throttleFor
		for range 500_000 { // what was in flight under the largest limit comes first
			if acknowledge(0.01); k.base > 500 {
				return
			}
		}
		t.Fatalf("base %v after %.0f s of a sink that takes anything (e %v, doubt %v)", k.base, now, k.elasticity, k.doubt)
	})
}
