package lines

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sluice-bridge/sluice/connectors"
)

const positionSuffix = ".position"

// loadPosition returns the saved position, or 0 where none is saved.
func loadPosition(path string) (next int64, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if _, err := fmt.Sscanf(string(text), "%d\n", &next); err != nil || next < 0 {
		return 0, connectors.Permanent(fmt.Errorf("%s holds %.20q and no position; to begin again, remove it", path, text))
	}
	return next, nil
}

// savePosition replaces the file as a whole: whenever the machine stops, the old position is there or
// the new one. The data is synced before the rename, the rename by syncing the directory.
func savePosition(path string, next int64) error {
	file, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, next)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return syncDirectory(path)
}

// syncDirectory makes the name of the file at path last.
func syncDirectory(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
