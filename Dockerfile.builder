# Podwright's own image: one static program, the CA certificates, nobody's user.
#
#   docker build -f Dockerfile.builder -t podwright .                                compiles it, from any clean checkout
#   docker build -f Dockerfile.builder -t podwright --build-arg PREBUILT=DIR .       takes what is in DIR, and pulls nothing
#
# DIR is a directory of the context that holds `podwright` and `etc/ssl/certs/ca-certificates.crt`; images/build.sh makes one
# as target/image. Both ways work with BuildKit and with the classic builder.
ARG PREBUILT=
ARG RUST=docker.io/library/rust:1.95-bookworm
# Whatever PREBUILT says, it makes "scratch" of the base of the first stage.
ARG BASE=${PREBUILT:+scratch}

# The classic builder runs every stage, so a stage cannot be left out: this one does the right thing in both cases. Its
# /podwright is either the finished program, which then prints its version and thereby proves that it runs where nothing
# else is, or images/compile/podwright, a script that puts the program it compiles in its own place.
FROM ${BASE:-${RUST}} AS program
ARG PREBUILT
COPY . /src/
COPY ${PREBUILT:-images/compile}/ /
RUN ["/podwright", "version"]

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="podwright" \
      org.opencontainers.image.description="The in-pod builder agent: source to the node's Docker daemon to a registry" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=program /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=program /podwright /podwright
# Numeric, so that Kubernetes can see that it is not root; the socket's group is the pod's to add.
USER 65532:65532
ENTRYPOINT ["/podwright"]
