# docker build -t sluice .
# docker run -v ./sluice.yaml:/etc/sluice/sluice.yaml:ro -p 127.0.0.1:4280:4280 sluice
#
# The program alone, static, as nobody. TAGS= (empty) puts the demo with its brokers into it.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS TARGETARCH
ARG TAGS=nodemo
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false -tags "$TAGS" -o /sluice ./cmd/sluice

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /sluice /usr/bin/sluice
USER 65532:65532
EXPOSE 4280
# Exit code 1: a route is disconnected or halted, 3: no daemon. With admin.token the container needs SLUICE_TOKEN.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/bin/sluice", "status"]
ENTRYPOINT ["/usr/bin/sluice"]
CMD ["run", "-c", "/etc/sluice/sluice.yaml"]
