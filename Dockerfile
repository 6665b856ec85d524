# The images of the control plane (the default) and of the shop:
#   docker build --tag breakwater:dev .
#   docker build --tag breakwater-shop:dev --target shop .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
COPY examples/shop/go.mod examples/shop/go.sum examples/shop/
RUN go mod download && go mod download -C examples/shop
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-X main.version=${VERSION}" -o /out/breakwater ./cmd/controlplane
RUN CGO_ENABLED=0 go build -C examples/shop -trimpath -buildvcs=false -o /out/shop .

FROM gcr.io/distroless/static-debian12:nonroot AS shop
COPY --from=build /out/shop /shop
USER 65532:65532
ENTRYPOINT ["/shop"]

FROM gcr.io/distroless/static-debian12:nonroot AS breakwater
COPY --from=build /out/breakwater /breakwater
USER 65532:65532
ENTRYPOINT ["/breakwater"]
