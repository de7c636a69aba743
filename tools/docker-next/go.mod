// Builds a Docker engine newer than the distribution's; see build. What the engine itself requires
// comes from its own list (vendor.mod), which the module carries under the sum in go.sum.
module weft.internal/docker-next

go 1.24.0

require github.com/docker/docker v28.5.2+incompatible
