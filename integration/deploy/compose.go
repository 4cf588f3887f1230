// Package deploy reads what users deploy, so that tests can hold it to what it promises.
package deploy

import (
	"context"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// Compose loads the compose file at path, strictly.
func Compose(ctx context.Context, path string) (*types.Project, error) {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithConsistency(true), cli.WithResolvedPaths(true))
	if err != nil {
		return nil, err
	}
	return options.LoadProject(ctx)
}
