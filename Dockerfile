# One image for every container of a cluster and of the lab: the member, and the side-car that cuts its network.
# Works with the classic builder and with BuildKit. GO_IMAGE names the image of the build stage.
ARG GO_IMAGE=golang:1.26
FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
COPY raft raft
COPY node node
COPY chaos/agent chaos/agent
COPY harness/diskfault harness/diskfault
# Not `go mod download`: that would bring the lab's modules too, and this image needs few.
RUN mkdir -p /out/data \
 && CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /out/raftd ./node/cmd/raftd \
 && CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /out/raftlab-agent ./chaos/agent

FROM scratch
COPY --from=build /out/raftd /out/raftlab-agent /
# A volume that is mounted here takes over this directory's owner, so that the member can write to it.
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
VOLUME /data
EXPOSE 8000
ENTRYPOINT ["/raftd"]
CMD ["--listen", ":8000", "--advertise", "localhost:8000", "--data", "/data"]
