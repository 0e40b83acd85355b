# Rolecall in a container: the program that `make package` built, on a base with glibc and CA certificates, no shell.
# The context is target/container: `make container`, or
#   docker buildx build --platform linux/amd64,linux/arm64 -f Dockerfile target/container
# It needs no privilege, and writes nothing: run it with a read-only root file system and without capabilities.
ARG BASE=gcr.io/distroless/base-nossl-debian12:nonroot
FROM ${BASE}
ARG TARGETARCH
ARG VERSION
LABEL org.opencontainers.image.title="rolecall" \
      org.opencontainers.image.description="An MCP endpoint on AWS Lambda where every call runs as its caller" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY ${TARGETARCH}/rolecall /usr/local/bin/rolecall
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/rolecall"]
CMD ["serve", "--listen", "0.0.0.0:8080"]
