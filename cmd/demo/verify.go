package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/cmd/verify"
)

// compareAll reads all ends again, compares them message by message up to their ends, and prints what
// came out.
func compareAll(ctx context.Context, routes []bridge.RouteConfig, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	fmt.Fprintln(out, "verification: all four places are read again with franz-go and nats.go and compared message by message")
	var faults []error
	for i := range routes {
		r := &routes[i]
		report, err := compareRoute(ctx, r)
		if err != nil {
			return fmt.Errorf("read the ends of %s again: %w", r.Name, err)
		}
		report.Print(out)
		if !report.Equal {
			faults = append(faults, fmt.Errorf("the two ends of %s differ", r.Name))
		}
		if report.SourceMessages == 0 {
			faults = append(faults, fmt.Errorf("there was nothing to compare at the source of %s", r.Name))
		}
	}
	return errors.Join(faults...)
}

func compareRoute(ctx context.Context, r *bridge.RouteConfig) (*verify.Report, error) {
	ends, err := verify.Open(ctx, r)
	if err != nil {
		return nil, err
	}
	defer ends.Close(ctx)
	return verify.Compare(ctx, *ends, verify.Options{Route: r.Name, Whole: true})
}
