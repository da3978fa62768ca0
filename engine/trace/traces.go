package trace

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// closing is how long what was traced last may take to be sent.
const closing = 5 * time.Second

// Traces sends traces to a collector. It is an engine.Tracer.
type Traces struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// Open begins to send traces as the standard variables of the environment say
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). It returns
// nil when they name no collector: then nothing is traced, and nothing runs. That the collector
// does not answer is no error, but for the log.
func Open(ctx context.Context, version string, log *slog.Logger) (*Traces, error) {
	protocol, err := protocolOf(os.Getenv)
	if err != nil || protocol == "" {
		return nil, err
	}
	var exporter sdk.SpanExporter
	if protocol == grpc {
		exporter, err = otlptracegrpc.New(ctx)
	} else {
		exporter, err = otlptracehttp.New(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("send traces: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "gnomon"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	otel.SetErrorHandler(&complaints{log: log})
	p := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about), sdk.WithIDGenerator(ids{}))
	return &Traces{provider: p, tracer: p.Tracer("gnomon")}, nil
}

// Close sends what was traced last, for a while.
func (t *Traces) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last traces: %w", err)
	}
	return nil
}

// Protocols that traces are sent by.
const (
	overHTTP = "http/protobuf"
	grpc     = "grpc"
)

// protocolOf is how the environment wants traces to be sent; empty: not at all.
func protocolOf(env func(string) string) (string, error) {
	exporter := env("OTEL_TRACES_EXPORTER")
	endpoint := cmp.Or(env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), env("OTEL_EXPORTER_OTLP_ENDPOINT"))
	switch {
	case strings.EqualFold(env("OTEL_SDK_DISABLED"), "true"), exporter == "none", exporter == "" && endpoint == "":
		return "", nil
	case exporter != "" && exporter != "otlp":
		return "", fmt.Errorf("OTEL_TRACES_EXPORTER is %q: there are otlp and none", exporter)
	}
	protocol := cmp.Or(env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), env("OTEL_EXPORTER_OTLP_PROTOCOL"), overHTTP)
	if protocol != overHTTP && protocol != grpc {
		return "", fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: there are %s and %s", protocol, overHTTP, grpc)
	}
	return protocol, nil
}

// complaints writes to the log what the library cannot do, at most once a minute: a collector
// that is away is away for each of many batches.
type complaints struct {
	log  *slog.Logger
	last atomic.Int64 // Unix seconds
}

// Handle implements otel.ErrorHandler.
func (c *complaints) Handle(err error) {
	now, last := time.Now().Unix(), c.last.Load()
	if now-last >= 60 && c.last.CompareAndSwap(last, now) {
		c.log.Warn("traces are lost", "error", err)
	}
}
