package telemetry

import (
	"context"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
)

// defaultService is service.name where nobody says otherwise.
const defaultService = "sluice"

// newResource describes the process. Later detectors win: defaults, the SDK's, the environment's
// OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME, the configuration.
func newResource(ctx context.Context, cfg Config, log zerolog.Logger) *resource.Resource {
	var own []attribute.KeyValue
	for key, value := range map[attribute.Key]string{
		"service.name": cfg.Service, "service.instance.id": cfg.Instance, "service.version": cfg.Version,
	} {
		if value != "" {
			own = append(own, key.String(value))
		}
	}
	res, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", defaultService)),
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithProcessPID(),
		resource.WithFromEnv(),
		resource.WithAttributes(own...),
	)
	if err != nil { // a part that could not be found out, such as a malformed variable; the rest is there
		log.Warn().Err(err).Msg("the telemetry resource is incomplete")
	}
	if res == nil {
		res = resource.NewSchemaless(own...)
	}
	return res
}
