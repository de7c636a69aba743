// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package next names the programs of a Docker engine that build makes.
package next

import (
	_ "github.com/docker/docker/cmd/docker-proxy"
	_ "github.com/docker/docker/cmd/dockerd"
)
