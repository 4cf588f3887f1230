package nats

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-bridge/sluice/connectors"
)

func TestPlaces(t *testing.T) {
	servers := connectors.List{"A:4223", "nats://u:p@b"}
	for _, tc := range []struct{ got, want []string }{
		{placesOf(servers, "stream S"), []string{"stream S of nats a:4223", "stream S of nats b:4222"}},
		{subjectPlaces(servers[:1], "a.b", "a.*", "a.>", ""), []string{"subject a.b of nats a:4223"}},
	} {
		if diff := cmp.Diff(tc.want, tc.got); diff != "" {
			t.Error(diff)
		}
	}
}
